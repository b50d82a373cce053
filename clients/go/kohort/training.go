// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package kohort

import (
	"context"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"

	pb "github.com/kohort-health/kohort/clients/go/kohort/v1"
)

// A TrainOption says more about a training.
type TrainOption interface{ train(*pb.TrainRequest) error }

type trainOption func(*pb.TrainRequest) error

func (o trainOption) train(request *pb.TrainRequest) error { return o(request) }

// trainField is a TrainOption that cannot fail.
func trainField(set func(*pb.TrainRequest)) TrainOption {
	return trainOption(func(r *pb.TrainRequest) error {
		set(r)
		return nil
	})
}

// Trainer names the algorithm: one of [Client.Capabilities]. The server chooses
// otherwise.
func Trainer(name string) TrainOption {
	return trainField(func(r *pb.TrainRequest) { r.Trainer = name })
}

// Parameter sets one parameter of the trainer: a number, a string, a bool, or a
// list of numbers as []int, []float64 or []any. Others keep their defaults.
func Parameter(name string, value any) TrainOption {
	return trainOption(func(r *pb.TrainRequest) error {
		value, err := parameterValue(value)
		if err != nil {
			return wrongUse("parameter %s: %w", name, err)
		}
		if r.Parameters == nil {
			r.Parameters = &structpb.Struct{Fields: map[string]*structpb.Value{}}
		}
		r.Parameters.Fields[name] = value
		return nil
	})
}

func parameterValue(value any) (*structpb.Value, error) {
	switch list := value.(type) {
	case []int:
		return listValue(list)
	case []float64:
		return listValue(list)
	}
	return structpb.NewValue(value)
}

func listValue[T any](values []T) (*structpb.Value, error) {
	list := make([]any, len(values))
	for i, value := range values {
		list[i] = value
	}
	return structpb.NewValue(list)
}

// Overrides change the dataset's schema for this job.
func Overrides(overrides *pb.SchemaOverrides) TrainOption {
	return trainField(func(r *pb.TrainRequest) { r.SchemaOverrides = overrides })
}

// MinPatientsPerValue protects values that fewer patients share; at least 2.
func MinPatientsPerValue(patients int32) TrainOption {
	return trainField(func(r *pb.TrainRequest) { r.MinPatientsPerValue = patients })
}

// MaxRowsPerPatient limits how many rows of one patient are learned.
func MaxRowsPerPatient(rows int32) TrainOption {
	return trainField(func(r *pb.TrainRequest) { r.MaxRowsPerPatient = rows })
}

// WeightPatientsEqually makes every patient count the same, however many rows are
// theirs.
func WeightPatientsEqually() TrainOption {
	return trainField(func(r *pb.TrainRequest) { r.WeightPatientsEqually = true })
}

// HoldoutFraction is the share of the patients kept aside for evaluation alone; it
// is 0.2 otherwise.
func HoldoutFraction(share float64) TrainOption {
	return trainField(func(r *pb.TrainRequest) { r.HoldoutFraction = proto.Float64(share) })
}

// ValidationFraction is the share of the patients for early stopping and
// calibration; it is 0.1 otherwise.
func ValidationFraction(share float64) TrainOption {
	return trainField(func(r *pb.TrainRequest) { r.ValidationFraction = proto.Float64(share) })
}

// Device names a kind of device or a slot of [Client.Capabilities], such as "cuda"
// or "cuda:1".
func Device(name string) TrainOption {
	return trainField(func(r *pb.TrainRequest) { r.Device = name })
}

// MaxRuntime limits the job, all of its attempts together. It is not a deadline of
// the call: the job lives apart from it.
func MaxRuntime(limit time.Duration) TrainOption {
	return trainField(func(r *pb.TrainRequest) { r.MaxRuntime = durationpb.New(limit) })
}

// Alerts are what to watch while fitting; at most 16.
func Alerts(alerts ...*pb.Alert) TrainOption {
	return trainField(func(r *pb.TrainRequest) { r.Alerts = append(r.Alerts, alerts...) })
}

// An EvaluationOption says how a model is evaluated: by [Client.Evaluate], or once
// it is trained by [Client.Train].
type EvaluationOption struct{ options *pb.EvaluationOptions }

// Evaluation says how a model is evaluated: profile, targets, quasi-identifiers,
// time budget.
func Evaluation(options *pb.EvaluationOptions) EvaluationOption {
	return EvaluationOption{options}
}

func (o EvaluationOption) train(r *pb.TrainRequest) error {
	r.Evaluation = o.options
	return nil
}

func (o EvaluationOption) evaluate(r *pb.EvaluateRequest) error {
	r.Options = o.options
	return nil
}

// Train starts a training on a dataset, "datasets/{id}", and returns once the server
// has stored the job. The job then lives on the server, apart from this client:
// follow it with [Job.Events], or await its model with [Job.Wait].
func (c *Client) Train(ctx context.Context, dataset string, options ...TrainOption) (*Job, error) {
	request := &pb.TrainRequest{RequestId: newUUID(), Dataset: dataset}
	for _, option := range options {
		if err := option.train(request); err != nil {
			return nil, err
		}
	}
	return firstJob(ctx, c, c.training.Train, request)
}
