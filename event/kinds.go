package event

import (
	"encoding/json"
	"fmt"
)

// kinds knows how to read each kind of fact back. A test holds that every type
// of fact.go is here.
var kinds = registry(
	reads[NodeStarted], reads[NodeStopped], reads[FactsLost],
	reads[CallStarted], reads[CallAnswered], reads[StepEntered], reads[CallEnded],
	reads[VisitJoined], reads[VisitEnded],
	reads[OfferMade], reads[OfferEnded],
	reads[TalkEnded], reads[WrapUpEnded], reads[Transferred],
	reads[AgentChanged],
	reads[RecordingMade],
	reads[LegEnded],
	reads[SurveyAnswered], reads[FollowUpSettled],
	reads[Audited], reads[AuditHead],
)

type reader func(data json.RawMessage) (Fact, error)

// reads decodes one type of fact, as a value: a fact read back is what was
// emitted, so one type switch serves both.
func reads[F Fact](data json.RawMessage) (Fact, error) {
	var f F
	if len(data) > 0 {
		if err := json.Unmarshal(data, &f); err != nil {
			return nil, fmt.Errorf("%s: %w", f.Kind(), err)
		}
	}
	return f, nil
}

func registry(readers ...reader) map[string]reader {
	m := make(map[string]reader, len(readers))
	for _, read := range readers {
		zero, err := read(nil)
		if err != nil || m[zero.Kind()] != nil {
			panic(fmt.Sprintf("event: kind %q registered twice", zero.Kind()))
		}
		m[zero.Kind()] = read
	}
	return m
}

func decodeFact(kind string, data json.RawMessage) (Fact, error) {
	if read := kinds[kind]; read != nil {
		return read(data)
	}
	return Unknown{Name: kind, Data: data}, nil
}

// Unknown is a fact of a kind this version does not know, as it stood in the
// log: a newer version wrote it.
type Unknown struct {
	Name string
	Data json.RawMessage
}

// Kind gives the name found in the log.
func (u Unknown) Kind() string { return u.Name }

// MarshalJSON gives the fact as it was read.
func (u Unknown) MarshalJSON() ([]byte, error) {
	if len(u.Data) == 0 {
		return []byte("null"), nil
	}
	return u.Data, nil
}
