package ivr

import (
	"context"
	"errors"
	"fmt"

	"github.com/bugle-voice/bugle/config"
	"github.com/bugle-voice/bugle/event"
)

// maxSteps ends a call whose keys lead it in circles for ever.
const maxSteps = 1000

// Run leads a caller through the flow of the number he dialled, starting in
// its language, and gives what he came for. observe is told of each step as it
// is entered; nil is fine. An error is the phone's (the caller hung up, ctx
// ended) or names a fault in a flow that Check would have found.
func Run(ctx context.Context, flows map[string]config.Flow, dialled config.Number, phone Phone, observe func(event.StepEntered)) (Outcome, error) {
	flow, ok := flows[dialled.Flow]
	if !ok {
		return Outcome{}, fmt.Errorf("run flow %q: there is none of that name", dialled.Flow)
	}
	v := &visit{keypad: keypad{phone: phone}, language: dialled.Language, values: map[string]Value{}}
	at := flow.Start
	for range maxSteps {
		step, ok := flow.Steps[at]
		if !ok {
			return v.outcome(""), fmt.Errorf("run flow %q: it has no step %q", dialled.Flow, at)
		}
		if observe != nil {
			observe(event.StepEntered{Flow: dialled.Flow, Step: at, Language: v.language})
		}
		next, end, err := v.step(ctx, step)
		switch {
		case err != nil:
			return v.outcome(""), fmt.Errorf("run step %q of flow %q: %w", at, dialled.Flow, err)
		case end != nil:
			return *end, nil
		}
		at = next
	}
	return v.outcome(""), fmt.Errorf("run flow %q: no end after %d steps", dialled.Flow, maxSteps)
}

// visit is one caller in a flow.
type visit struct {
	keypad
	language   string
	values     map[string]Value
	recordings []Recording
}

// outcome is what the visit has come to by now.
func (v *visit) outcome(k Kind) Outcome {
	return Outcome{Kind: k, Language: v.language, Values: v.values, Recordings: v.recordings}
}

// step does one step and gives the name of the next, or the outcome if it was
// the last.
func (v *visit) step(ctx context.Context, s config.Step) (next string, end *Outcome, err error) {
	switch {
	case s.Play != nil:
		next, err = v.play(ctx, s.Play)
	case s.Menu != nil:
		next, err = v.menu(ctx, s.Menu)
	case s.Collect != nil:
		next, err = v.collect(ctx, s.Collect)
	case s.Record != nil:
		next, err = v.record(ctx, s.Record)
	case s.Queue != nil:
		o := v.outcome(Queue)
		o.Queue, o.Announce = s.Queue.Name, v.say(s.Queue.Announce)
		end = &o
	case s.Hangup != nil:
		o := v.outcome(Hangup)
		end = &o
		err = v.speak(ctx, v.say(s.Hangup.Prompts))
	default:
		err = errors.New("it does nothing")
	}
	return next, end, err
}

// say turns references into prompts of the caller's language.
func (v *visit) say(refs ...[]string) []Prompt {
	var prompts []Prompt
	for _, r := range refs {
		prompts = append(prompts, Resolve(r, v.language)...)
	}
	return prompts
}

func (v *visit) play(ctx context.Context, p *config.Play) (string, error) {
	if p.Barge != nil && !*p.Barge {
		return p.Next, v.speak(ctx, v.say(p.Prompts))
	}
	return p.Next, v.speakUntilKey(ctx, v.say(p.Prompts))
}

// menu asks for one key, at most Tries times.
func (v *visit) menu(ctx context.Context, m *config.Menu) (string, error) {
	var sorry []string // spoken before asking again
	for range m.Tries {
		key, err := v.key(ctx, v.say(sorry, m.Prompts), m.Timeout.D())
		if err != nil {
			return "", err
		}
		choice, known := m.Keys[string(key)]
		switch {
		case known:
			if choice.Language != "" {
				v.language = choice.Language
			}
			return choice.Next, nil
		case key == noKey:
			sorry = m.NoInput
		default:
			sorry = m.NoMatch
			// What was typed ahead was meant for another choice.
			if err := v.forget(ctx); err != nil {
				return "", err
			}
		}
	}
	return m.Else, nil
}

// collect asks for an entry of several digits, at most Tries times.
func (v *visit) collect(ctx context.Context, c *config.Collect) (string, error) {
	var sorry []string
	for range c.Tries {
		digits, how, err := v.entry(ctx, c, v.say(sorry, c.Prompts))
		if err != nil {
			return "", err
		}
		switch how {
		case entered:
			v.values[c.Name] = NewValue(digits, c.Private)
			return c.Next, nil
		case silent:
			sorry = c.NoInput
		case unfit:
			sorry = c.NoMatch
			if err := v.forget(ctx); err != nil {
				return "", err
			}
		}
	}
	return c.Else, nil
}

// record asks the caller to say something, at most Tries times.
func (v *visit) record(ctx context.Context, r *config.Record) (string, error) {
	var sorry []string
	for range r.Tries {
		// A key stops the prompts, but none typed ahead does: he has to know
		// that he is being recorded.
		if err := v.forget(ctx); err != nil {
			return "", err
		}
		if _, err := v.key(ctx, v.say(sorry, r.Prompts), 0); err != nil {
			return "", err
		}
		said, err := v.phone.Record(ctx, RecordOptions{
			Name: r.Name, Min: r.Min.D(), Max: r.Max.D(), Silence: r.Silence.D(), Finish: r.Finish,
		})
		if said.ID != "" {
			v.recordings = append(v.recordings, said)
		}
		switch {
		case errors.Is(err, ErrCannotRecord):
			return r.Else, nil // he has spoken once in vain already
		case err != nil:
			return "", err
		case said.ID != "":
			return r.Next, nil
		}
		sorry = r.NoInput
	}
	return r.Else, nil
}

// entryEnd is how an entry of digits ended.
type entryEnd int

const (
	silent  entryEnd = iota // nothing was entered
	entered                 // as asked for
	unfit                   // too short, or a key that has no place in it
)

// entry takes digits until the finishing key, the greatest length or a silence
// ends them. A star, unless it finishes, lets the caller begin anew.
func (v *visit) entry(ctx context.Context, c *config.Collect, prompts []Prompt) (digits string, how entryEnd, err error) {
	wait := c.Timeout.D()
	for len(digits) < c.Max {
		key, err := v.key(ctx, prompts, wait)
		prompts = nil
		switch {
		case err != nil:
			return "", silent, err
		case key == noKey && digits == "":
			return "", silent, nil
		case key == noKey, string(key) == c.Finish:
			if len(digits) < c.Min {
				return "", unfit, nil
			}
			return digits, entered, nil
		case key == '*':
			digits, wait = "", c.Timeout.D()
		case key == '#':
			return "", unfit, nil
		default:
			digits, wait = digits+string(key), c.InterDigit.D()
		}
	}
	for _, finish := range c.Finish { // one key or none
		v.excuse(finish, c.InterDigit.D())
	}
	return digits, entered, nil
}
