package store

import (
	"context"
	"fmt"
	"iter"
	"time"
)

// Survey is one answer a caller gave about a visit.
type Survey struct {
	Call     string
	Visit    string
	Question string // csat, nps
	Answer   int
	At       time.Time
}

// AddSurvey writes an answer down. A second answer to the same question is not
// counted.
func (s *Store) AddSurvey(ctx context.Context, a Survey) error {
	return s.inTx(ctx, "add survey", func(t *tx) error { return t.addSurvey(ctx, a) })
}

func (t *tx) addSurvey(ctx context.Context, a Survey) error {
	_, err := t.exec(ctx, `INSERT INTO surveys (call_id, visit, question, answer, at) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (call_id, visit, question) DO NOTHING`, a.Call, text(a.Visit), text(a.Question), a.Answer, a.At.UnixMilli())
	return err
}

const surveyQuery = `SELECT call_id, visit, question, answer, at FROM surveys`

func scanSurvey(row scanner) (Survey, error) {
	var a Survey
	err := row.Scan(&a.Call, &a.Visit, &a.Question, &a.Answer, when{&a.At})
	return a, err
}

// Surveys gives the answers given from one moment until before another, in
// that order.
func (s *Store) Surveys(ctx context.Context, from, to time.Time) iter.Seq2[Survey, error] {
	return rows(ctx, s.read, "read surveys", surveyQuery+` WHERE at >= $1 AND at < $2 ORDER BY at, call_id, visit, question`,
		[]any{from.UnixMilli(), to.UnixMilli()}, scanSurvey)
}

// Transfer is a call handed on by an agent.
type Transfer struct {
	ID         string
	Call       string
	Visit      string
	FromAgent  string
	Kind       string  // blind, attended
	TargetKind string  // agent, queue, number
	Target     Private // an outside number is sealed in the table
	At         time.Time
	Result     string
}

// outsideNumber is the kind of a target that is somebody's telephone.
const outsideNumber = "number"

// AddTransfer writes a transfer down, once. Of a call whose caller has been
// erased, an outside number is left out.
func (s *Store) AddTransfer(ctx context.Context, tr Transfer) error {
	plain, sealed := tr.Target.Reveal(), []byte(nil)
	if tr.TargetKind == outsideNumber {
		var err error
		if sealed, err = s.seal(tr.Target, TransferPlace(tr.ID)); err != nil {
			return fmt.Errorf("store: seal a transfer's number: %w", err)
		}
		plain = ""
	}
	tr.Target = Private(plain)
	return s.inTx(ctx, "add transfer", func(t *tx) error {
		if err := s.besideErasures(ctx, t); err != nil {
			return err
		}
		return t.addTransfer(ctx, tr, sealed)
	})
}

// addTransfer takes the number apart from the rest, sealed.
func (t *tx) addTransfer(ctx context.Context, tr Transfer, sealed []byte) error {
	var erased int
	if err := t.row(ctx, `SELECT COUNT(*) FROM calls WHERE id = $1 AND erased_at IS NOT NULL`, []any{tr.Call}, &erased); err != nil {
		return err
	}
	if erased > 0 {
		sealed = nil
	}
	_, err := t.exec(ctx, `INSERT INTO transfers (id, call_id, visit, from_agent, kind, target_kind, target, target_sealed, at, result)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (id) DO NOTHING`,
		tr.ID, tr.Call, tr.Visit, tr.FromAgent, tr.Kind, tr.TargetKind, text(tr.Target.Reveal()), sealed, tr.At.UnixMilli(), tr.Result)
	return err
}

const transferQuery = `SELECT id, call_id, visit, from_agent, kind, target_kind, target, target_sealed, at, result FROM transfers`

func (s *Store) scanTransfer(row scanner) (Transfer, error) {
	var tr Transfer
	var plain string
	var sealed []byte
	err := row.Scan(&tr.ID, &tr.Call, &tr.Visit, &tr.FromAgent, &tr.Kind, &tr.TargetKind, &plain, &sealed, when{&tr.At}, &tr.Result)
	if err != nil {
		return tr, err
	}
	if tr.Target, err = s.unseal(sealed, TransferPlace(tr.ID)); sealed == nil {
		tr.Target = Private(plain)
	}
	return tr, err
}

// Transfers gives the transfers made from one moment until before another, in
// that order.
func (s *Store) Transfers(ctx context.Context, from, to time.Time) iter.Seq2[Transfer, error] {
	return rows(ctx, s.read, "read transfers", transferQuery+` WHERE at >= $1 AND at < $2 ORDER BY at, id`,
		[]any{from.UnixMilli(), to.UnixMilli()}, s.scanTransfer)
}
