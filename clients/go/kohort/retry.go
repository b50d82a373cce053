// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package kohort

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"time"

	"google.golang.org/grpc/codes"
)

// attempts are the tries of one logical call under one deadline and one request id.
type attempts struct {
	client       *Client
	context      context.Context
	requestID    string
	failures     int
	begun        bool
	failingSince time.Time
}

// attempts begins a call. The timeout applies where ctx has no deadline; none where
// it is not positive. The caller defers the CancelFunc, which ends what is under way.
func (c *Client) attempts(ctx context.Context, timeout time.Duration) (*attempts, context.CancelFunc) {
	var cancel context.CancelFunc
	if _, has := ctx.Deadline(); !has && timeout > 0 {
		ctx, cancel = context.WithTimeout(ctx, timeout)
	} else {
		ctx, cancel = context.WithCancel(ctx)
	}
	ctx, id := c.outgoing(ctx)
	return &attempts{client: c, context: ctx, requestID: id}, cancel
}

// ctx is the context of each try, with the deadline and the metadata.
func (a *attempts) ctx() context.Context {
	return a.context
}

// progressed notes that a stream brought something: from now on it is resumed with
// patience, counted anew.
func (a *attempts) progressed() {
	a.begun = true
	a.failures = 0
}

// callerError is what the caller's own reader or writer returned: it ends the call
// and is given back as it is, whatever it may look like.
type callerError struct{ error }

// again waits for the next try and returns nil, or returns the final error where
// there should be none: an *Error for what a call returned, and as it is what is
// not the error of a call. io.EOF means that a stream ended too early.
func (a *attempts) again(err error) error {
	var own callerError
	if errors.As(err, &own) {
		return own.error
	}
	var failed *Error
	if !errors.As(a.failure(err), &failed) {
		return err
	}
	if a.failures == 0 {
		// Counted from the break: a reader that takes its time over what came is not to
		// blame for it.
		a.failingSince = time.Now()
	}
	a.failures++
	if !retryable(failed) || a.exhausted() {
		return failed
	}
	wait := a.wait(failed)
	if deadline, has := a.context.Deadline(); has && time.Until(deadline) <= wait {
		return failed
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-a.context.Done():
		return a.failure(a.context.Err())
	case <-a.client.closed:
		return a.failure(ErrClosed)
	}
}

func retryable(failed *Error) bool {
	switch failed.Code {
	case codes.Unavailable:
		return true
	case codes.ResourceExhausted:
		return failed.declined
	}
	return false
}

func (a *attempts) exhausted() bool {
	retry := a.client.settings.retry
	if a.begun {
		return time.Since(a.failingSince) > retry.StreamPatience
	}
	return a.failures >= retry.Attempts
}

func (a *attempts) wait(failed *Error) time.Duration {
	retry := a.client.settings.retry
	wait := float64(retry.InitialBackoff) * math.Pow(retry.Multiplier, float64(a.failures-1))
	wait = min(wait, float64(retry.MaxBackoff))
	wait *= 1 + retry.Jitter*(2*rand.Float64()-1)
	return max(time.Duration(wait), failed.RetryAfter)
}

// failure is the error of a call with what only the client knows about it.
func (a *attempts) failure(err error) error {
	err = asError(err, a.requestID)
	var failed *Error
	if !errors.As(err, &failed) || failed.ours {
		return err
	}
	select {
	case <-a.client.closed:
		// Whatever broke, it broke because the client was closed.
		if failed.Code == codes.Canceled || failed.Code == codes.Unavailable {
			return asError(ErrClosed, a.requestID)
		}
	default:
	}
	if failed.Hint == "" {
		failed.Hint = hint(failed.Code, failed.Message, a.client.endpoint)
	}
	return err
}
