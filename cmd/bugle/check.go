package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/bugle-voice/bugle/config"
	"github.com/bugle-voice/bugle/ivr"
	"github.com/bugle-voice/bugle/media"
	"github.com/bugle-voice/bugle/number"
)

// defaultConfig is the file read where -c is not given.
const defaultConfig = "bugle.yaml"

// errFaulty is a configuration whose problems have been printed.
var errFaulty = errors.New("the configuration has errors")

// check says what is wrong with a configuration: the file itself, its flows,
// and whether every prompt can be decoded.
func check(env environment, args []string) error {
	flags := flag.NewFlagSet("check", flag.ContinueOnError)
	path := flags.String("c", defaultConfig, "configuration `file`")
	if _, err := parse(flags, env, args, 0); err != nil {
		return err
	}
	site, err := loadSite(*path, env.err)
	if err != nil {
		return err
	}
	c := site.config
	_, err = fmt.Fprintf(env.out, "%s: %d numbers, %d flows, %d queues, %d agents, %d prompts: well\n",
		*path, len(c.Numbers), len(c.Flows), len(c.Queues), len(c.Agents), len(site.prompts))
	return err
}

// site is a helpline ready to be served: its configuration, found in order,
// and its sounds.
type site struct {
	config  *config.Config
	prompts map[ivr.Prompt]*media.Clip
	music   *media.Clip
}

// loadSite reads a configuration file and the prompts it names. Problems are
// written to report, one a line; warnings alone don't fail.
func loadSite(path string, report io.Writer) (*site, error) {
	c, err := config.Load(path)
	if err != nil {
		return nil, tell(report, err)
	}
	if _, err := os.Stat(c.Prompts.Dir); err != nil {
		return nil, fmt.Errorf("prompts: %w", err)
	}
	return newSite(c, os.DirFS(c.Prompts.Dir), report)
}

// newSite checks the flows of a configuration against its prompts and decodes them.
func newSite(c *config.Config, prompts fs.FS, report io.Writer) (*site, error) {
	set, err := ivr.LoadPrompts(prompts)
	if err != nil {
		return nil, err
	}
	problems := append(c.Warnings(), ivr.Check(c, set)...)
	if c.Country != "" && !number.Known(c.Country) {
		problems = append(problems, c.Problem(fmt.Sprintf("no numbering plan is known of country %q", c.Country), "write the two letters of ISO 3166: DE", "country"))
	}
	for i, t := range c.SIP.Trunks {
		if t.Country != "" && !number.Known(t.Country) {
			problems = append(problems, c.Problem(fmt.Sprintf("no numbering plan is known of country %q", t.Country), "write the two letters of ISO 3166: DE",
				"sip", "trunks", strconv.Itoa(i), "country"))
		}
	}
	problems = append(problems, checkEmergency(c, set)...)
	problems.Sort()
	for _, p := range problems {
		fmt.Fprintln(report, p)
	}
	if problems.Err() != nil {
		return nil, errFaulty
	}
	s := &site{config: c}
	if s.prompts, err = ivr.Decode(set, media.LoadClip); err != nil {
		return nil, err
	}
	if s.music, err = loadMusic(set, c.Prompts.Music); err != nil {
		return nil, err
	}
	return s, nil
}

// checkEmergency warns of agents who would call for help in vain, or not be told so
// in words.
func checkEmergency(c *config.Config, prompts *ivr.Prompts) (odd config.Problems) {
	warn := func(what, remedy string, path ...string) {
		p := c.Problem(what, remedy, path...)
		p.Warning = true
		odd = append(odd, p)
	}
	spoken := map[string][]string{config.EmergencyPrompt: {"calls"}}
	if len(c.Calls.Emergency) == 0 {
		warn("calls.emergency is missing: an agent who dials 112 or 911 is told that no help can be called from his phone",
			`say what is to happen: calls: {emergency: {"112": {action: route, trunks: [NAME], from: "+4930123450"}, "911": {action: refuse}}}`, "calls", "emergency")
	} else {
		spoken = map[string][]string{}
		for number, rule := range c.Calls.Emergency {
			spoken[rule.Prompt] = []string{"calls", "emergency", number}
		}
	}
	for _, prompt := range slices.Sorted(maps.Keys(spoken)) {
		var missing []string
		for _, language := range c.Languages {
			if !prompts.Has(ivr.Prompt{Language: language, Name: prompt}) {
				missing = append(missing, language)
			}
		}
		if len(missing) > 0 {
			warn(fmt.Sprintf("there is no recording of prompt %q in %s: an agent whose emergency call is not put through hears tones alone", prompt, strings.Join(missing, ", ")),
				fmt.Sprintf("add %s.wav to their folders", prompt), spoken[prompt]...)
		}
	}
	return odd
}

// loadMusic reads the file that a site names, or the music among its prompts.
func loadMusic(set *ivr.Prompts, path string) (*media.Clip, error) {
	read := set.Music
	if path != "" {
		read = func() ([]byte, error) { return os.ReadFile(path) }
	}
	wav, err := read()
	if err != nil {
		return nil, fmt.Errorf("music: %w", err)
	}
	clip, err := media.LoadClip(bytes.NewReader(wav))
	if err != nil {
		return nil, fmt.Errorf("music: %w", err)
	}
	return clip, nil
}

// tell prints the problems of a configuration, if that is what the error is.
func tell(report io.Writer, err error) error {
	var problems config.Problems
	if !errors.As(err, &problems) {
		return err
	}
	fmt.Fprintln(report, problems)
	return errFaulty
}
