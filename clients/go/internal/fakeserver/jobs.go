// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package fakeserver

import (
	"context"
	"slices"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	pb "github.com/kohort-health/kohort/clients/go/kohort/v1"
)

// job is a job with its history. The fields are guarded by the server's mutex.
type job struct {
	now     *pb.Job
	events  []*pb.JobEvent
	changed chan struct{} // closed, and replaced, at every event
}

// GetName is the name of the job.
func (j *job) GetName() string { return j.now.GetName() }

// Train implements the service. The trainer "copula" has done its work at once,
// "diverging" fails at once, and "held" runs until [Server.Finish] or Cancel.
func (s *Server) Train(request *pb.TrainRequest, stream grpc.ServerStreamingServer[pb.TrainResponse]) error {
	s.mutex.Lock()
	dataset, err := find(s.datasets, request.GetDataset(), "DATASET_NOT_FOUND")
	trainer := request.GetTrainer()
	if trainer == "" {
		trainer = "copula"
	}
	switch trainer {
	case "copula", "diverging", "held":
	default:
		err = Refusal{Code: codes.InvalidArgument, Reason: "UNKNOWN_TRAINER", Fields: []string{"trainer"}}.Err()
	}
	if err != nil {
		s.mutex.Unlock()
		return err
	}
	job, created := s.jobOf(request.GetRequestId(), &pb.Job{
		Dataset: dataset.GetName(), Trainer: trainer, Parameters: request.GetParameters(), Seed: request.GetSeed(),
		DisplayName: request.GetDisplayName(), Labels: request.GetLabels(), Kind: pb.JobKind_JOB_KIND_TRAIN,
	})
	if created {
		s.run(job)
	}
	s.mutex.Unlock()
	return s.follow(stream.Context(), job, 0, func(update *pb.JobUpdate) error {
		return stream.Send(&pb.TrainResponse{Update: update})
	})
}

// jobOf is the job of that request id, made where there is none. The caller holds
// the mutex.
func (s *Server) jobOf(requestID string, start *pb.Job) (*job, bool) {
	if name, known := s.created[requestID]; known {
		made, _ := find(s.jobs, name, "")
		return made, false
	}
	start.Name = numbered("jobs", len(s.jobs))
	made := &job{now: start, changed: make(chan struct{})}
	s.created[requestID] = start.Name
	s.jobs = append(s.jobs, made)
	made.to(pb.JobState_JOB_STATE_QUEUED)
	return made, true
}

// run plays a job through. The caller holds the mutex.
func (s *Server) run(j *job) {
	j.now.Attempt = 1
	j.to(pb.JobState_JOB_STATE_RUNNING)
	j.add(&pb.JobEvent{Detail: &pb.JobEvent_PhaseStarted{PhaseStarted: &pb.PhaseStarted{Phase: "fitting"}}})
	j.now.Phase = "fitting"
	for step := range int64(3) {
		j.step(step+1, 3)
	}
	switch j.now.GetTrainer() {
	case "copula":
		s.end(j, pb.JobState_JOB_STATE_SUCCEEDED)
	case "diverging":
		s.end(j, pb.JobState_JOB_STATE_FAILED)
	}
}

// end makes a job terminal, with its model, report or error. The caller holds the
// mutex.
func (s *Server) end(j *job, state pb.JobState) {
	switch {
	case state == pb.JobState_JOB_STATE_FAILED:
		j.now.Error = &pb.JobError{Reason: "TRAINING_DIVERGED", Message: "the losses left the finite numbers"}
	case state == pb.JobState_JOB_STATE_SUCCEEDED && j.now.GetKind() == pb.JobKind_JOB_KIND_TRAIN:
		dataset, _ := find(s.datasets, j.now.GetDataset(), "")
		j.now.Model = s.addModel(&pb.Model{
			DisplayName: j.now.GetDisplayName(), Labels: j.now.GetLabels(), Job: j.GetName(), Unit: "row",
			Dataset: dataset.GetName(), Trainer: j.now.GetTrainer(), Schema: dataset.GetSchema(),
		}, nil).GetName()
	}
	j.to(state)
}

// Step reports one more epoch of a held job.
func (s *Server) Step(name string) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	j, _ := find(s.jobs, name, "")
	j.step(j.now.GetProgress().GetStep()+1, 0)
}

// Finish ends a held job well.
func (s *Server) Finish(name string) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	j, _ := find(s.jobs, name, "")
	s.end(j, pb.JobState_JOB_STATE_SUCCEEDED)
}

func (j *job) to(state pb.JobState) {
	j.now.State = state
	j.add(&pb.JobEvent{Detail: &pb.JobEvent_StateChanged{StateChanged: &pb.StateChanged{State: state}}})
}

func (j *job) step(step, total int64) {
	j.now.Progress = &pb.Progress{Step: step, TotalSteps: total}
	j.add(&pb.JobEvent{Detail: &pb.JobEvent_Progress{Progress: proto.CloneOf(j.now.Progress)}})
}

func (j *job) add(event *pb.JobEvent) {
	event.Sequence, event.Attempt = int64(len(j.events)+1), j.now.GetAttempt()
	j.events = append(j.events, event)
	close(j.changed)
	j.changed = make(chan struct{})
}

func over(state pb.JobState) bool {
	return state >= pb.JobState_JOB_STATE_SUCCEEDED
}

// follow sends the job, every event after the sequence, the job after each change of
// its state, and ends once the job is over.
func (s *Server) follow(ctx context.Context, j *job, sequence int64, send func(*pb.JobUpdate) error) error {
	// The event before comes again: a client is not to count on what is new.
	sequence = max(sequence-1, 0)
	whole := true
	for {
		s.mutex.Lock()
		now, changed := proto.CloneOf(j.now), j.changed
		fresh := j.events[min(sequence, int64(len(j.events))):]
		s.mutex.Unlock()
		if whole {
			if err := send(&pb.JobUpdate{Sequence: sequence, Update: &pb.JobUpdate_Job{Job: now}}); err != nil {
				return err
			}
		}
		whole = false
		for _, event := range fresh {
			sequence = event.GetSequence()
			if err := send(&pb.JobUpdate{Sequence: sequence, Update: &pb.JobUpdate_Event{Event: event}}); err != nil {
				return err
			}
			whole = whole || event.GetStateChanged() != nil
		}
		if over(now.GetState()) && !whole {
			return nil
		}
		if whole {
			continue
		}
		// As when 15 seconds brought nothing, but at once.
		beat := &pb.JobUpdate{Sequence: sequence, Update: &pb.JobUpdate_Heartbeat{Heartbeat: &pb.Heartbeat{}}}
		if err := send(beat); err != nil {
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Status implements the service.
func (s *Server) Status(request *pb.StatusRequest, stream grpc.ServerStreamingServer[pb.StatusResponse]) error {
	s.mutex.Lock()
	j, err := find(s.jobs, request.GetJob(), "JOB_NOT_FOUND")
	s.mutex.Unlock()
	if err != nil {
		return err
	}
	return s.follow(stream.Context(), j, request.GetAfterSequence(), func(update *pb.JobUpdate) error {
		return stream.Send(&pb.StatusResponse{Update: update})
	})
}

// Cancel implements the service.
func (s *Server) Cancel(request *pb.CancelRequest, stream grpc.ServerStreamingServer[pb.CancelResponse]) error {
	s.mutex.Lock()
	j, err := find(s.jobs, request.GetJob(), "JOB_NOT_FOUND")
	if err != nil {
		s.mutex.Unlock()
		return err
	}
	if !over(j.now.GetState()) {
		j.to(pb.JobState_JOB_STATE_CANCELLING)
	}
	asked := &pb.JobUpdate{Update: &pb.JobUpdate_Job{Job: proto.CloneOf(j.now)}}
	if !over(j.now.GetState()) {
		s.end(j, pb.JobState_JOB_STATE_CANCELLED)
	}
	s.mutex.Unlock()
	return stream.Send(&pb.CancelResponse{Update: asked})
}

// GetJob implements the service.
func (s *Server) GetJob(_ context.Context, request *pb.GetJobRequest) (*pb.GetJobResponse, error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	j, err := find(s.jobs, request.GetName(), "JOB_NOT_FOUND")
	if err != nil {
		return nil, err
	}
	return &pb.GetJobResponse{Job: proto.CloneOf(j.now)}, nil
}

// ListJobs implements the service.
func (s *Server) ListJobs(_ context.Context, request *pb.ListJobsRequest) (*pb.ListJobsResponse, error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	jobs := []*pb.Job{}
	for _, j := range s.jobs {
		if len(request.GetStates()) == 0 || slices.Contains(request.GetStates(), j.now.GetState()) {
			jobs = append(jobs, proto.CloneOf(j.now))
		}
	}
	jobs, next, err := page(jobs, request.GetPageToken())
	return &pb.ListJobsResponse{Jobs: jobs, NextPageToken: next}, err
}
