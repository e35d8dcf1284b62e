package sip

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"
)

// MemoryBindings keeps bindings in this process: for phones, tests, and
// whoever has no registrations to share. The zero value is ready.
type MemoryBindings struct {
	mu    sync.Mutex
	users map[string]map[string]Binding // user, contact
}

// Put keeps b.
func (m *MemoryBindings) Put(_ context.Context, b Binding) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.users == nil {
		m.users = make(map[string]map[string]Binding)
	}
	if m.users[b.User] == nil {
		m.users[b.User] = make(map[string]Binding)
	}
	m.users[b.User][b.Contact] = b
	return nil
}

// Get gives the unexpired bindings of a user.
func (m *MemoryBindings) Get(_ context.Context, user string) ([]Binding, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	maps.DeleteFunc(m.users[user], func(_ string, b Binding) bool { return !b.Expires.After(now) })
	return slices.Collect(maps.Values(m.users[user])), nil
}

// Senders gives a test of whether a flow is the Sender of a binding.
func (m *MemoryBindings) Senders(context.Context) (func(flow string) bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now, senders := time.Now(), make(map[string]bool)
	for _, contacts := range m.users {
		for _, b := range contacts {
			if b.Sender != "" && b.Expires.After(now) {
				senders[b.Sender] = true
			}
		}
	}
	return func(flow string) bool { return senders[flow] }, nil
}

// Remove forgets a binding, unless there is a later one.
func (m *MemoryBindings) Remove(_ context.Context, b Binding) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.users[b.User][b.Contact].Expires.After(b.Expires) {
		return nil
	}
	delete(m.users[b.User], b.Contact)
	if len(m.users[b.User]) == 0 {
		delete(m.users, b.User)
	}
	return nil
}
