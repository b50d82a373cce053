// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package kohort

import (
	"context"
	"iter"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/kohort-health/kohort/clients/go/kohort/v1"
)

// An UploadOption says more about an upload.
type UploadOption interface{ upload(*pb.UploadHeader) error }

type uploadOption func(*pb.UploadHeader) error

func (o uploadOption) upload(header *pb.UploadHeader) error { return o(header) }

// Table names the table of a single upload; it is "table" otherwise.
func Table(name string) UploadOption {
	return uploadOption(func(h *pb.UploadHeader) error {
		h.Schema.Tables[0].Name = name
		return nil
	})
}

// SubjectKey names the column that tells patients apart, where a patient may have
// several rows.
func SubjectKey(column string) UploadOption {
	return uploadOption(func(h *pb.UploadHeader) error {
		h.Schema.Tables[0].SubjectKey = column
		return nil
	})
}

// Declare says what is known of the table: kinds, levels, keys, constraints. Of a
// file it may be partial; what is not declared is inferred.
func Declare(table *pb.TableSchema) UploadOption {
	return uploadOption(func(h *pb.UploadHeader) error {
		proto.Merge(h.Schema.Tables[0], table)
		return nil
	})
}

// ExpiresIn deletes the dataset's bytes after this time; otherwise the server
// decides (7 days). The server caps it.
func ExpiresIn(after time.Duration) UploadOption {
	return uploadOption(func(h *pb.UploadHeader) error {
		h.ExpireTime = timestamppb.New(time.Now().Add(after))
		return nil
	})
}

// DeleteAfterTraining deletes the dataset's bytes once a model has been trained on
// them.
func DeleteAfterTraining() UploadOption {
	return uploadOption(func(h *pb.UploadHeader) error {
		h.DeleteAfterTraining = true
		return nil
	})
}

// uploadHeader begins an upload of one table with what the options say. It has a
// request id, so it can be sent again.
func uploadHeader(format pb.UploadFormat, options []UploadOption) (*pb.UploadHeader, error) {
	header := &pb.UploadHeader{
		RequestId: newUUID(),
		Format:    format,
		Schema:    &pb.Schema{Tables: []*pb.TableSchema{{Name: "table"}}},
	}
	for _, option := range options {
		if err := option.upload(header); err != nil {
			return nil, err
		}
	}
	return header, nil
}

// upload sends the header, then the parts, and again from the start where that is
// safe: the request id of the header finds what an earlier try stored.
func (c *Client) upload(
	ctx context.Context, header *pb.UploadHeader, parts func() iter.Seq2[*pb.UploadDatasetRequest, error],
) (*pb.Dataset, error) {
	attempts, cancel := c.attempts(ctx, c.settings.timeouts.Transfer)
	defer cancel()
	for {
		answer, err := sendAll(attempts.ctx(), c.datasets.UploadDataset, func(yield func(*pb.UploadDatasetRequest, error) bool) {
			if yield(&pb.UploadDatasetRequest{Part: &pb.UploadDatasetRequest_Header{Header: header}}, nil) {
				parts()(yield)
			}
		})
		if err == nil {
			return answer.GetDataset(), nil
		}
		if err := attempts.again(err); err != nil {
			return nil, err
		}
	}
}
