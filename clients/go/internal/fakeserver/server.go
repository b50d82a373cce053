// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

// Package fakeserver is a small server of the contract for the tests of the client:
// in this process, on a real socket, with faults on request.
package fakeserver

import (
	"context"
	"net"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	pb "github.com/kohort-health/kohort/clients/go/kohort/v1"
)

// A Server holds what was uploaded and trained. It is safe for use by several
// goroutines at once.
type Server struct {
	pb.UnimplementedCapabilitiesServiceServer
	pb.UnimplementedDatasetServiceServer
	pb.UnimplementedTrainingServiceServer
	pb.UnimplementedSamplingServiceServer
	pb.UnimplementedEvaluationServiceServer

	// Address is host:port.
	Address string
	// Sampling answers Sample.
	Sampling *Sampling

	options  []grpc.ServerOption
	mutex    sync.Mutex
	grpc     *grpc.Server
	listener *listener
	faults   map[string][]error
	lost     map[string]int
	calls    map[string][]metadata.MD
	store
}

// Start starts a server on a free port of 127.0.0.1. The caller stops it.
func Start(options ...grpc.ServerOption) *Server {
	s := &Server{options: options, faults: map[string][]error{}, lost: map[string]int{}, calls: map[string][]metadata.MD{}}
	s.Sampling = &Sampling{Model: Heart()}
	s.store.init()
	s.listen("127.0.0.1:0")
	return s
}

func (s *Server) listen(address string) {
	inner, err := net.Listen("tcp", address)
	if err != nil {
		panic(err) // a test cannot go on
	}
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.Address = inner.Addr().String()
	s.listener = &listener{Listener: inner, open: map[*connection]bool{}}
	s.grpc = grpc.NewServer(append(s.options, grpc.ChainUnaryInterceptor(s.unary), grpc.ChainStreamInterceptor(s.stream))...)
	pb.RegisterCapabilitiesServiceServer(s.grpc, s)
	pb.RegisterDatasetServiceServer(s.grpc, s)
	pb.RegisterTrainingServiceServer(s.grpc, s)
	pb.RegisterSamplingServiceServer(s.grpc, s)
	pb.RegisterEvaluationServiceServer(s.grpc, s)
	server, accepting := s.grpc, s.listener
	go func() { _ = server.Serve(accepting) }() // ends with Stop
}

// Stop ends every call and closes the port. What is stored stays.
func (s *Server) Stop() {
	s.mutex.Lock()
	server := s.grpc
	s.mutex.Unlock()
	server.Stop()
}

// Restart listens on the same port again, after Stop.
func (s *Server) Restart() {
	s.listen(s.Address)
}

// Cut closes every connection as a broken network does; the port stays open.
func (s *Server) Cut() {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.listener.cut()
}

// CutAfter closes each of the next connections once the server has written so many
// bytes to it.
func (s *Server) CutAfter(bytes ...int64) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.listener.after(bytes)
}

// Connections tells how many there were since the server was started.
func (s *Server) Connections() int {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return s.listener.count()
}

// Fail answers the next calls of a method, such as "GetModel", with these errors, one
// each, before anything else of the method happens. See [Refusal].
func (s *Server) Fail(method string, errs ...error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.faults[method] = append(s.faults[method], errs...)
}

// Lose lets the next call of a method do its work and loses its answer.
func (s *Server) Lose(method string) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.lost[method]++
}

// answered is the outcome of a call that did its work.
func (s *Server) answered(fullMethod string, err error) error {
	method := methodName(fullMethod)
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if err != nil || s.lost[method] == 0 {
		return err
	}
	s.lost[method]--
	return status.Error(codes.Unavailable, "the answer was lost")
}

// Calls are the metadata of the calls of a method so far, failed ones included.
func (s *Server) Calls(method string) []metadata.MD {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return append([]metadata.MD(nil), s.calls[method]...)
}

// arrive notes a call and gives the error that it is to end with.
func (s *Server) arrive(ctx context.Context, fullMethod string) error {
	method := methodName(fullMethod)
	said, _ := metadata.FromIncomingContext(ctx)
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.calls[method] = append(s.calls[method], said)
	if waiting := s.faults[method]; len(waiting) > 0 {
		s.faults[method] = waiting[1:]
		return waiting[0]
	}
	return nil
}

func (s *Server) unary(
	ctx context.Context, request any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler,
) (any, error) {
	if err := s.arrive(ctx, info.FullMethod); err != nil {
		return nil, err
	}
	answer, err := handle(ctx, request)
	return answer, s.answered(info.FullMethod, err)
}

func (s *Server) stream(
	server any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handle grpc.StreamHandler,
) error {
	if err := s.arrive(stream.Context(), info.FullMethod); err != nil {
		return err
	}
	return s.answered(info.FullMethod, handle(server, stream))
}

// Drain takes no more calls and waits for those under way.
func (s *Server) Drain() {
	s.mutex.Lock()
	server := s.grpc
	s.mutex.Unlock()
	server.GracefulStop()
}
