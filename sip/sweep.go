package sip

import (
	"context"
	"time"
)

const (
	sweepEvery = time.Second
	mendEvery  = 5 * time.Second
	flowGrace  = 20 * time.Second // for a phone to come back whose connection broke
	natOpen    = 25 * time.Second // NATs forget UDP after 30 s at the earliest (RFC 4787 has 2 minutes)

	// markUser has a binding of each node, which nobody calls. If it is gone, the
	// store has lost everything, and the node puts back what it holds.
	markUser = "*"
	markLife = time.Hour
)

// sweep ends bindings that were not refreshed, keeps NATs open, and puts back into
// the store what it lost, until ctx ends. Where the store does not answer, the rest
// waits for the next round: it would wait for each phone.
func (r *registrar) sweep(ctx context.Context) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	kept, mended := time.Now(), time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			if now.Sub(kept) >= natOpen {
				kept = now
				r.keepOpen()
			}
			if now.Sub(mended) >= mendEvery {
				mended = now
				if r.mend(ctx) != nil {
					continue
				}
			}
			for user, contacts := range r.expired(now) {
				if r.expire(ctx, user, contacts) != nil {
					break
				}
			}
		}
	}
}

func (r *registrar) expired(now time.Time) map[string][]string {
	return r.pick(func(h held) bool { return !h.expires.After(now) })
}

// pick gives the contacts by user of what is held and wanted.
func (r *registrar) pick(wanted func(held) bool) map[string][]string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out map[string][]string
	for user, contacts := range r.mine {
		for contact, h := range contacts {
			if !wanted(h) {
				continue
			}
			if out == nil {
				out = make(map[string][]string)
			}
			out[user] = append(out[user], contact)
		}
	}
	return out
}

// expire forgets contacts of a user. One that was meanwhile refreshed, here or
// over another node, lives on in the store.
func (r *registrar) expire(ctx context.Context, user string, contacts []string) error {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	defer r.lock(user).Unlock()
	alive, err := r.store.Get(ctx, user)
	if err != nil {
		return err
	}
	fresh := make(map[string]bool, len(alive))
	for _, b := range append(alive, r.here(user)...) {
		if !r.isLost(b) {
			fresh[b.Contact] = true
		}
	}
	for _, contact := range contacts {
		h, expired := r.heldAt(user, contact)
		if !expired {
			continue // it was refreshed meanwhile
		}
		if !fresh[contact] {
			if err := r.store.Remove(ctx, h.binding); err != nil {
				return err
			}
		}
		r.release(user, contact)
	}
	if len(fresh) == 0 {
		r.gone(user)
	}
	return nil
}

// heldAt gives what is held of a contact, and whether its time is over.
func (r *registrar) heldAt(user, contact string) (h held, expired bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	h, ok := r.mine[user][contact]
	return h, ok && !h.expires.After(time.Now())
}

// mend saves what the store has not: refreshes that came while it was away, and, if
// it has come back empty, everything. Without that an agent who is ready could not be
// rung until his phone refreshes by itself.
func (r *registrar) mend(ctx context.Context) error {
	marked, err := r.marked(ctx)
	if err != nil {
		return err
	}
	now := time.Now()
	for user, contacts := range r.pick(func(h held) bool { return h.stands(now) && (h.unsaved || !marked) }) {
		for _, contact := range contacts {
			if err := r.save(ctx, user, contact); err != nil {
				return err
			}
		}
	}
	if marked {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	return r.store.Put(ctx, Binding{User: markUser, Contact: r.node, Node: r.node, Expires: now.Add(markLife)})
}

// marked reports whether the store still has this node's mark, and for a while.
func (r *registrar) marked(ctx context.Context) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	marks, err := r.store.Get(ctx, markUser)
	if err != nil {
		return false, err
	}
	for _, m := range marks {
		if m.Contact == r.node && time.Until(m.Expires) > markLife/2 {
			return true, nil
		}
	}
	return false, nil
}

// save puts a binding into the store, unless it is there, or a later one of another
// node is.
func (r *registrar) save(ctx context.Context, user, contact string) error {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	defer r.lock(user).Unlock()
	h, expired := r.heldAt(user, contact)
	if expired || !h.stands(time.Now()) {
		return nil
	}
	there, err := r.store.Get(ctx, user)
	if err != nil {
		return err
	}
	for _, b := range there {
		if b.Contact == contact && !b.Expires.Before(h.binding.Expires) {
			r.saved(user, contact)
			return nil
		}
	}
	if err := r.store.Put(ctx, h.binding); err != nil {
		return err
	}
	r.saved(user, contact)
	r.put(user, h.binding)
	return nil
}

func (r *registrar) saved(user, contact string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if h, ok := r.mine[user][contact]; ok {
		h.unsaved = false
		r.mine[user][contact] = h
	}
}
