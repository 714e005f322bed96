package service

import (
	"context"
	"sync"
	"time"
)

// Remembered is how long what a service said of its languages counts.
const Remembered = time.Hour

// Memory keeps one answer of a service for a while. The zero value is empty.
type Memory[T any] struct {
	mu    sync.Mutex
	value T
	until time.Time
}

// Get gives what is remembered, or asks. Only one caller asks at a time, and the
// others wait for it; nothing is remembered of an error.
func (m *Memory[T]) Get(ctx context.Context, ask func(context.Context) (T, error)) (T, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if time.Now().Before(m.until) {
		return m.value, nil
	}
	value, err := ask(ctx)
	if err == nil {
		m.value, m.until = value, time.Now().Add(Remembered)
	}
	return value, err
}

// Forget makes the next Get ask.
func (m *Memory[T]) Forget() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.until = time.Time{}
}
