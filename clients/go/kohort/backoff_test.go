// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package kohort

import (
	"testing"
	"time"
)

func TestWaitsGrowToTheirLimit(t *testing.T) {
	client := &Client{settings: defaultSettings()}
	for failures, want := range map[int]time.Duration{
		1: 200 * time.Millisecond, 2: 400 * time.Millisecond, 3: 800 * time.Millisecond, 4: 1600 * time.Millisecond,
		6: 5 * time.Second, 5000: 5 * time.Second,
	} {
		a := &attempts{client: client, failures: failures}
		seen := map[time.Duration]bool{}
		for range 50 {
			wait := a.wait(&Error{})
			seen[wait] = true
			if wait < want*8/10 || wait > want*12/10 {
				t.Errorf("after %d failures: %v, want about %v", failures, wait, want)
			}
		}
		if len(seen) < 10 {
			t.Errorf("after %d failures clients return in step", failures)
		}
		if wait := a.wait(&Error{RetryAfter: time.Hour}); wait != time.Hour {
			t.Errorf("%v, want as long as the server says", wait)
		}
	}
}
