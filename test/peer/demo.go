package peer

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bugle-voice/bugle/deployments/demo"
)

// DemoConfig gives the demo helpline's configuration for StartBugle, its
// prompts laid out in a folder, with further top-level lines at its end.
func DemoConfig(t testing.TB, more string) string {
	t.Helper()
	prompts := filepath.Join(t.TempDir(), "prompts")
	if err := os.CopyFS(prompts, demo.Prompts); err != nil {
		t.Fatal(err)
	}
	text := strings.NewReplacer(
		"127.0.0.1:5060", "SIP_ADDR",
		"127.0.0.1:8080", "HTTP_ADDR",
		"data_dir: demo-data", "data_dir: DATA_DIR",
	).Replace(string(demo.Config))
	return text + fmt.Sprintf("\nprompts: {dir: %q}\n%s", prompts, more)
}

// DemoPrompt gives a spoken prompt of the demo: "es/subject".
func DemoPrompt(t testing.TB, name string) Sound {
	t.Helper()
	data, err := fs.ReadFile(demo.Prompts, name+".wav")
	if err != nil {
		t.Fatal(err)
	}
	s, err := parseWAV(data)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return s
}
