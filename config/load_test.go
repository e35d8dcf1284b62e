package config

import (
	"os"
	"testing"
)

func TestDemoLoads(t *testing.T) {
	b, err := os.ReadFile("../deployments/demo/bugle.yaml")
	if err != nil {
		t.Fatal(err)
	}
	c, err := Parse(b, "demo/bugle.yaml")
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v", c)
}
