// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package kohort

import (
	"google.golang.org/protobuf/proto"

	pb "github.com/kohort-health/kohort/clients/go/kohort/v1"
)

// A CreateOption can be given to every call that creates something: an upload, a
// training, an evaluation, an import.
type CreateOption interface {
	UploadOption
	TrainOption
	EvaluateOption
	ImportOption
}

// DisplayName is for people; at most 200 characters.
func DisplayName(text string) CreateOption { return creation{displayName: &text} }

// Labels are for programs; at most 32, keys and values at most 63 characters.
func Labels(labels map[string]string) CreateOption { return creation{labels: labels} }

// RequestID makes the call safe to repeat for 24 hours, also from another process;
// it is a UUID. Otherwise each call makes one for its own tries.
func RequestID(uuid string) CreateOption { return creation{requestID: uuid} }

// creation is what one CreateOption says.
type creation struct {
	displayName *string
	labels      map[string]string
	requestID   string
}

func (o creation) fill(displayName *string, labels *map[string]string, requestID *string) error {
	if o.displayName != nil {
		*displayName = *o.displayName
	}
	if o.labels != nil {
		*labels = o.labels
	}
	if o.requestID != "" {
		*requestID = o.requestID
	}
	return nil
}

func (o creation) upload(h *pb.UploadHeader) error {
	return o.fill(&h.DisplayName, &h.Labels, &h.RequestId)
}

func (o creation) train(r *pb.TrainRequest) error {
	return o.fill(&r.DisplayName, &r.Labels, &r.RequestId)
}

func (o creation) evaluate(r *pb.EvaluateRequest) error {
	return o.fill(&r.DisplayName, &r.Labels, &r.RequestId)
}

func (o creation) importModel(h *pb.ImportHeader) error {
	return o.fill(&h.DisplayName, &h.Labels, &h.RequestId)
}

// A SeedOption makes what is drawn repeatable, in training and in sampling.
type SeedOption int64

// Seed makes training repeatable on one machine, and a sample anywhere the same
// runtime answers. Otherwise the server draws a seed and records it.
func Seed(seed int64) SeedOption { return SeedOption(seed) }

func (o SeedOption) train(r *pb.TrainRequest) error {
	r.Seed = proto.Int64(int64(o))
	return nil
}
