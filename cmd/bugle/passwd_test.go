package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
)

// What is private is no argument of any command, and asking for it shows it nowhere.
func TestPrivateValuesAreAskedFor(t *testing.T) {
	for typed, want := range map[string]string{"secret\n": "secret", "secret\r\nmore\n": "secret", " s c \n": " s c ", "last": "last"} {
		var said bytes.Buffer
		if got, err := ask(t.Context(), environment{in: strings.NewReader(typed), out: &said, err: &said}, "password"); got != want || err != nil || said.Len() > 0 {
			t.Errorf("%q: got %q, %v, said %q", typed, got, err, said.String())
		}
	}
	for name, run := range map[string]func(environment) error{
		"agent": func(e environment) error { return beAgent(e, []string{"sip:anna@127.0.0.1"}) },
		"call":  func(e environment) error { return callOut(e, []string{"sip:n@127.0.0.1", "-press", "-"}) },
	} {
		t.Setenv("BUGLE_PASSWORD", "")
		var said bytes.Buffer
		if err := run(environment{in: strings.NewReader("\n"), out: &said, err: &said}); !errors.Is(err, errUsage) || !strings.Contains(err.Error(), "on standard input") {
			t.Errorf("%s with nothing typed: %v", name, err)
		}
	}
	if err := beAgent(environment{in: strings.NewReader(""), err: new(bytes.Buffer)}, []string{"sip:anna@127.0.0.1", "-password", "secret"}); !errors.Is(err, errUsage) {
		t.Errorf("a password among the arguments: %v", err)
	}
}

// Ctrl-C ends a tool that waits for somebody to type.
func TestAskingEndsWithASignal(t *testing.T) {
	terminal, typing := io.Pipe()
	defer typing.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got, err := ask(ctx, environment{in: terminal, err: new(bytes.Buffer)}, "password"); got != "" || !errors.Is(err, context.Canceled) {
		t.Errorf("got %q, %v", got, err)
	}
}
