// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package fakeserver

import (
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	pb "github.com/kohort-health/kohort/clients/go/kohort/v1"
)

// Sampling answers Sample from a Model, as a test wants it. Its fields are set
// before the first call.
type Sampling struct {
	// Model gives the rows.
	Model *Model
	// Units is how many come where an augmentation factor is asked for.
	Units int64
	// Before, where it is set, is asked before each message of each call, both counted
	// from 0; an error ends the call with it.
	Before func(call, message int) error
	// Change, where it is set, gives what is sent in place of a message; nil: nothing.
	Change func(call int, message *pb.SampleResponse) *pb.SampleResponse

	lock     sync.Mutex
	requests []*pb.SampleRequest
	ends     []error
}

// Sample implements SamplingService: whatever the name of the model, by [Server.Sampling].
func (s *Server) Sample(request *pb.SampleRequest, stream grpc.ServerStreamingServer[pb.SampleResponse]) error {
	return s.Sampling.serve(request, stream)
}

func (s *Sampling) serve(request *pb.SampleRequest, stream grpc.ServerStreamingServer[pb.SampleResponse]) error {
	s.lock.Lock()
	call := len(s.requests)
	s.requests = append(s.requests, proto.Clone(request).(*pb.SampleRequest))
	s.lock.Unlock()
	err := s.send(call, request, stream)
	s.lock.Lock()
	s.ends = append(s.ends, err)
	s.lock.Unlock()
	return err
}

func (s *Sampling) send(call int, request *pb.SampleRequest, stream grpc.ServerStreamingServer[pb.SampleResponse]) error {
	if request.AugmentationFactor != nil {
		request.UnitCount = s.Units
	}
	for i, message := range s.Model.Messages(request) {
		if s.Before != nil {
			if err := s.Before(call, i); err != nil {
				return err
			}
		}
		if s.Change != nil {
			if message = s.Change(call, proto.CloneOf(message)); message == nil {
				continue
			}
		}
		if err := stream.Send(message); err != nil {
			return err
		}
	}
	return nil
}

// Requests are those that came, in order.
func (s *Sampling) Requests() []*pb.SampleRequest {
	s.lock.Lock()
	defer s.lock.Unlock()
	return append([]*pb.SampleRequest{}, s.requests...)
}

// Ends are what the calls ended with, in the order in which they did.
func (s *Sampling) Ends() []error {
	s.lock.Lock()
	defer s.lock.Unlock()
	return append([]error{}, s.ends...)
}
