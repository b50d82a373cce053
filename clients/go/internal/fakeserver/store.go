// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package fakeserver

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"google.golang.org/grpc/codes"

	pb "github.com/kohort-health/kohort/clients/go/kohort/v1"
)

// store is what the server holds, each kind in the order in which it came.
type store struct {
	datasets []*pb.Dataset
	uploads  []*Upload
	models   []*pb.Model
	bundles  map[string][]byte
	jobs     []*job
	reports  []*pb.Report
	policy   *pb.ReleasePolicy
	created  map[string]string // names by request id
}

func (s *store) init() {
	s.bundles = map[string][]byte{}
	s.created = map[string]string{}
	s.policy = defaultPolicy(1)
}

// GetCapabilities implements the service.
func (s *Server) GetCapabilities(
	context.Context, *pb.GetCapabilitiesRequest,
) (*pb.GetCapabilitiesResponse, error) {
	return &pb.GetCapabilitiesResponse{
		ApiVersion: "v1", ServerVersion: "0.0.0-fake", DefaultTrainer: "copula",
		Trainers: []*pb.TrainerInfo{{Name: "copula", DisplayName: "Gaussian copula"}},
	}, nil
}

// named is what lists hold.
type named interface{ GetName() string }

func find[T named](items []T, name, reason string) (T, error) {
	for _, item := range items {
		if item.GetName() == name {
			return item, nil
		}
	}
	var none T
	return none, Refusal{Code: codes.NotFound, Reason: reason, Message: "no such " + kindOf(reason)}.Err()
}

func kindOf(reason string) string {
	return map[string]string{
		"DATASET_NOT_FOUND": "dataset", "JOB_NOT_FOUND": "job",
		"MODEL_NOT_FOUND": "model", "REPORT_NOT_FOUND": "report",
	}[reason]
}

// page gives the items newest first, two at a time whatever was asked for, so that
// lists have pages.
func page[T any](items []T, token string) ([]T, string, error) {
	const size = 2
	start := 0
	if token != "" {
		var err error
		if start, err = strconv.Atoi(token); err != nil {
			return nil, "", Refusal{Code: codes.InvalidArgument, Reason: "INVALID_PAGE_TOKEN"}.Err()
		}
	}
	items = slices.Clone(items)
	slices.Reverse(items)
	end := min(start+size, len(items))
	if end == len(items) {
		return items[start:end], "", nil
	}
	return items[start:end], strconv.Itoa(end), nil
}

func without[T named](items []T, name string) []T {
	return slices.DeleteFunc(slices.Clone(items), func(item T) bool { return item.GetName() == name })
}

func numbered(kind string, count int) string {
	return fmt.Sprintf("%s/%d", kind, count+1)
}
