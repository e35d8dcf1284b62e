package store

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/bugle-voice/bugle/vault"
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

// AddTransfer writes a transfer down, once. An outside number is left out if its
// owner has been erased since, or the caller of the call.
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
		return s.addTransfer(ctx, t, tr, sealed)
	})
}

// addTransfer takes the number apart from the rest, sealed.
func (s *Store) addTransfer(ctx context.Context, t *tx, tr Transfer, sealed []byte) error {
	hash, _ := s.targetHash(tr.ID, sealed) // one that can't be opened now must not hold up what comes after it
	var erased int
	if err := t.row(ctx, `SELECT (SELECT COUNT(*) FROM calls WHERE id = $1 AND erased_at IS NOT NULL)
		+ (SELECT COUNT(*) FROM erasures WHERE caller_hash = $2 AND at >= $3)`, []any{tr.Call, hash, tr.At.UnixMilli()}, &erased); err != nil {
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

// targetHash gives the hash of a transfer's outside number: "" if there is none, or
// nothing that could ever be opened.
func (s *Store) targetHash(id string, sealed []byte) (string, error) {
	number, err := s.unseal(sealed, TransferPlace(id))
	switch {
	case errors.Is(err, vault.ErrUnknownKey):
		return "", err
	case err != nil || number == "":
		return "", nil
	}
	return s.sealer.Hash(number.Reveal()), nil
}

// transfersTo gives the transfers to an outside number, given by its hash, whoever's
// calls they were. Each number that is kept is opened and hashed: no column tells,
// and they are few beside the calls.
func (s *Store) transfersTo(ctx context.Context, q querier, hash string) (found []Transfer, err error) {
	for tr, err := range rows(ctx, q, "look for transfers to a number", transferQuery+` WHERE target_sealed IS NOT NULL ORDER BY at, id`, nil,
		func(row scanner) (tr Transfer, err error) {
			tr, _, sealed, err := readTransfer(row)
			if err != nil {
				return tr, err
			}
			if of, err := s.targetHash(tr.ID, sealed); of != hash {
				return Transfer{}, err
			}
			tr.Target, err = s.unseal(sealed, TransferPlace(tr.ID))
			return tr, err
		}) {
		if err != nil {
			return nil, err
		}
		if tr.ID != "" {
			found = append(found, tr)
		}
	}
	return found, nil
}

const transferQuery = `SELECT id, call_id, visit, from_agent, kind, target_kind, target, target_sealed, at, result FROM transfers`

func (s *Store) scanTransfer(row scanner) (Transfer, error) {
	tr, plain, sealed, err := readTransfer(row)
	if err != nil {
		return tr, err
	}
	if tr.Target, err = s.unseal(sealed, TransferPlace(tr.ID)); sealed == nil {
		tr.Target = Private(plain)
	}
	return tr, err
}

// readTransfer gives the target as it is stored.
func readTransfer(row scanner) (tr Transfer, plain string, sealed []byte, err error) {
	err = row.Scan(&tr.ID, &tr.Call, &tr.Visit, &tr.FromAgent, &tr.Kind, &tr.TargetKind, &plain, &sealed, when{&tr.At}, &tr.Result)
	return tr, plain, sealed, err
}

// Transfers gives the transfers made from one moment until before another, in
// that order.
func (s *Store) Transfers(ctx context.Context, from, to time.Time) iter.Seq2[Transfer, error] {
	return rows(ctx, s.read, "read transfers", transferQuery+` WHERE at >= $1 AND at < $2 ORDER BY at, id`,
		[]any{from.UnixMilli(), to.UnixMilli()}, s.scanTransfer)
}
