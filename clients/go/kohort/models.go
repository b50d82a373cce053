// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package kohort

import (
	"context"
	"io"
	"iter"

	pb "github.com/kohort-health/kohort/clients/go/kohort/v1"
)

// Model is the model of that name, "models/{id}".
func (c *Client) Model(ctx context.Context, name string) (*pb.Model, error) {
	answer, err := unary(ctx, c, c.sampling.GetModel, &pb.GetModelRequest{Name: name})
	return answer.GetModel(), err
}

// Models are the models of the tenant, newest first. An error is the last thing
// that the iterator gives.
func (c *Client) Models(ctx context.Context) iter.Seq2[*pb.Model, error] {
	return pages(func(token string) ([]*pb.Model, string, error) {
		request := &pb.ListModelsRequest{PageSize: pageSize, PageToken: token}
		answer, err := unary(ctx, c, c.sampling.ListModels, request)
		return answer.GetModels(), answer.GetNextPageToken(), err
	})
}

// DeleteModel deletes a model. Samples of it that are under way end as they would
// have.
func (c *Client) DeleteModel(ctx context.Context, name string) error {
	_, err := unary(ctx, c, c.sampling.DeleteModel, &pb.DeleteModelRequest{Name: name})
	return err
}

// An ImportOption says more about an import.
type ImportOption interface{ importModel(*pb.ImportHeader) error }

// ImportModel publishes the bundle that the reader holds, from its start, as a model
// of this server. It is read twice, first for its digest, which the server checks;
// and once more for each further try. Without a deadline of ctx it takes up to
// Timeouts.Transfer.
func (c *Client) ImportModel(
	ctx context.Context, bundle io.ReadSeeker, options ...ImportOption,
) (*pb.Model, error) {
	header := &pb.ImportHeader{RequestId: newUUID()}
	for _, option := range options {
		if err := option.importModel(header); err != nil {
			return nil, err
		}
	}
	digest, err := digestOf(ctx, bundle)
	if err != nil {
		return nil, err
	}
	header.Sha256 = digest
	attempts, cancel := c.attempts(ctx, c.settings.timeouts.Transfer)
	defer cancel()
	for {
		answer, err := sendAll(attempts.ctx(), c.sampling.ImportModel, importMessages(header, bundle))
		if err == nil {
			return answer.GetModel(), nil
		}
		if err := attempts.again(err); err != nil {
			return nil, err
		}
	}
}

func importMessages(header *pb.ImportHeader, bundle io.ReadSeeker) iter.Seq2[*pb.ImportModelRequest, error] {
	return func(yield func(*pb.ImportModelRequest, error) bool) {
		if !yield(&pb.ImportModelRequest{Part: &pb.ImportModelRequest_Header{Header: header}}, nil) {
			return
		}
		for chunk, err := range chunks(bundle) {
			if !yield(&pb.ImportModelRequest{Part: &pb.ImportModelRequest_Data{Data: chunk}}, err) {
				return
			}
		}
	}
}

// DownloadModel writes the bundle of a model to w, and returns its size and SHA-256
// once all bytes are there and have that digest. A stream that breaks is asked for
// again, and what w already has is passed over. After an error w holds a part that is
// worth nothing. Without a deadline of ctx it takes up to Timeouts.Transfer.
//
// The error is an [*Error], an [*IntegrityError] or that of w.
func (c *Client) DownloadModel(ctx context.Context, name string, w io.Writer) (*pb.BundleInfo, error) {
	return download[*pb.BundleInfo](ctx, c, w, c.sampling.DownloadModel, &pb.DownloadModelRequest{Name: name})
}
