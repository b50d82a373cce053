// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package kohort

import (
	"context"
	"errors"
	"io"
	"iter"
	"strconv"

	"google.golang.org/protobuf/proto"

	pb "github.com/kohort-health/kohort/clients/go/kohort/v1"
)

// Events follow the job from its first event until it is over: every event once, and
// the whole job at first, whenever its state changes and at the end. See [Job.Follow].
func (j *Job) Events(ctx context.Context) iter.Seq2[*pb.JobUpdate, error] {
	return j.Follow(ctx, 0)
}

// Follow follows the job from the event after that sequence, which is JobUpdate.Sequence
// of the last update that was read, until the job is over. It survives lost
// connections and restarts of the server. It has no limit but ctx.
//
// An error is the last thing that the iterator gives. Leaving the loop ends the call
// at once; the job goes on.
func (j *Job) Follow(ctx context.Context, afterSequence int64) iter.Seq2[*pb.JobUpdate, error] {
	return func(yield func(*pb.JobUpdate, error) bool) {
		attempts, cancel := j.client.attempts(ctx, 0)
		defer cancel()
		watch := &watching{job: j, sequence: afterSequence}
		for {
			left, err := watch.stream(attempts, yield)
			if left || err == nil {
				return
			}
			if watch.compacted(err) {
				continue
			}
			if err := attempts.again(err); err != nil {
				yield(nil, err)
				return
			}
		}
	}
}

// watching is how far a job was followed, over all streams.
type watching struct {
	job      *Job
	sequence int64
	info     *pb.Job
}

// stream reads one Status stream; left tells that the loop was left.
func (w *watching) stream(
	attempts *attempts, yield func(*pb.JobUpdate, error) bool,
) (left bool, err error) {
	request := &pb.StatusRequest{Job: w.job.name, AfterSequence: w.sequence}
	stream, err := w.job.client.training.Status(attempts.ctx(), request)
	if err != nil {
		return false, err
	}
	for {
		message, err := stream.Recv()
		if errors.Is(err, io.EOF) && terminal(w.info) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		attempts.progressed()
		news, err := w.take(message.GetUpdate())
		if err != nil {
			return false, err
		}
		if news && !yield(message.GetUpdate(), nil) {
			return true, nil
		}
	}
}

// take notes an update and tells whether it says anything new: a heartbeat does not.
func (w *watching) take(update *pb.JobUpdate) (bool, error) {
	var sequence int64
	switch news := update.GetUpdate().(type) {
	case *pb.JobUpdate_Job:
		w.info = news.Job
	case *pb.JobUpdate_Event:
		sequence = news.Event.GetSequence()
		// A resumed stream may begin with what is known.
		if sequence <= w.sequence {
			return false, nil
		}
		if w.info == nil {
			return false, &IntegrityError{w.job.name + ": the stream did not begin with the job"}
		}
		w.info = moved(w.info, news.Event)
	default:
		w.sequence = max(w.sequence, update.GetSequence())
		return false, nil
	}
	w.sequence = max(w.sequence, update.GetSequence(), sequence)
	w.job.saw(w.info)
	return true, nil
}

// compacted passes over events that the server no longer keeps: the job itself says
// where it stands.
func (w *watching) compacted(err error) bool {
	failed := &Error{}
	if !errors.As(asError(err, ""), &failed) || failed.Reason != "EVENTS_COMPACTED" {
		return false
	}
	oldest, err := strconv.ParseInt(failed.Metadata["oldest"], 10, 64)
	if err != nil || oldest-1 <= w.sequence {
		return false
	}
	w.sequence = oldest - 1
	return true
}

func terminal(info *pb.Job) bool {
	switch info.GetState() {
	case pb.JobState_JOB_STATE_SUCCEEDED, pb.JobState_JOB_STATE_FAILED, pb.JobState_JOB_STATE_CANCELLED:
		return true
	}
	return false
}

// moved is the job after an event: the server sends the whole job only when its
// state changes.
func moved(info *pb.Job, event *pb.JobEvent) *pb.Job {
	info = proto.CloneOf(info)
	switch detail := event.GetDetail().(type) {
	case *pb.JobEvent_Progress:
		info.Progress = detail.Progress
	case *pb.JobEvent_PhaseStarted:
		info.Phase = detail.PhaseStarted.GetPhase()
	case *pb.JobEvent_StateChanged:
		info.State = detail.StateChanged.GetState()
		switch info.State {
		case pb.JobState_JOB_STATE_QUEUED, pb.JobState_JOB_STATE_RUNNING:
			// Told again from the start, an attempt has not the steps that the job has
			// reached since.
			info.Phase, info.Progress = "", nil
		}
	default:
		return info
	}
	info.Attempt = event.GetAttempt()
	return info
}
