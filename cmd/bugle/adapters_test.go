package main

import (
	"reflect"
	"testing"
	"time"

	"github.com/bugle-voice/bugle/router"
)

// TestTheAPIShowsAllOfAnAgent: each thing the router says of an agent has its
// place, under the same name, in what the API shows.
func TestTheAPIShowsAllOfAnAgent(t *testing.T) {
	info := router.AgentInfo{
		ID: "anna", Name: "Anna Reed", Tier: 2, State: "talking", Since: time.Unix(1, 0), Reason: "left", Pending: "lunch", Visit: "v7",
		Languages: map[string]int{"en": 5}, Skills: map[string]int{"claims": 4},
	}
	said, shown := reflect.ValueOf(info), reflect.ValueOf(shownAgent(info))
	for i := range said.NumField() {
		name := said.Type().Field(i).Name
		if said.Field(i).IsZero() {
			t.Errorf("%s is not tried here", name)
		}
		f := shown.FieldByName(name)
		if !f.IsValid() || !reflect.DeepEqual(f.Convert(said.Field(i).Type()).Interface(), said.Field(i).Interface()) {
			t.Errorf("%s is lost", name)
		}
	}
}
