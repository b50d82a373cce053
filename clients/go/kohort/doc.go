// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

// Package kohort is a client of Kohort, which trains generators on patient tables
// and streams synthetic patients from them.
package kohort
