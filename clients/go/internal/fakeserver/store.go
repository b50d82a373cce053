// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package fakeserver

import (
	pb "github.com/kohort-health/kohort/clients/go/kohort/v1"
)

// store is what the server holds.
type store struct {
	datasets map[string]*pb.Dataset
	models   map[string]*pb.Model
}

func (s *store) init() {
	s.datasets = map[string]*pb.Dataset{}
	s.models = map[string]*pb.Model{}
}
