// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package kohort

import (
	"context"
	"iter"

	pb "github.com/kohort-health/kohort/clients/go/kohort/v1"
)

// pageSize of lists: few calls, and far below the message limits.
const pageSize = 100

// pages gives the items of every page of a list, and ends after its first error. A
// page is asked for once the one before is read.
func pages[T any](page func(token string) (items []T, next string, err error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		token := ""
		for {
			items, next, err := page(token)
			if err != nil {
				var none T
				yield(none, err)
				return
			}
			for _, item := range items {
				if !yield(item, nil) {
					return
				}
			}
			if next == "" {
				return
			}
			token = next
		}
	}
}

// Dataset is the dataset of that name, "datasets/{id}".
func (c *Client) Dataset(ctx context.Context, name string) (*pb.Dataset, error) {
	answer, err := unary(ctx, c, c.datasets.GetDataset, &pb.GetDatasetRequest{Name: name})
	return answer.GetDataset(), err
}

// Datasets are the datasets of the tenant, newest first. An error is the last thing
// that the iterator gives.
func (c *Client) Datasets(ctx context.Context) iter.Seq2[*pb.Dataset, error] {
	return pages(func(token string) ([]*pb.Dataset, string, error) {
		request := &pb.ListDatasetsRequest{PageSize: pageSize, PageToken: token}
		answer, err := unary(ctx, c, c.datasets.ListDatasets, request)
		return answer.GetDatasets(), answer.GetNextPageToken(), err
	})
}

// DeleteDataset deletes the dataset's bytes now. It returns what remains of the
// dataset, and the names of the models that were made from it and still stand.
func (c *Client) DeleteDataset(ctx context.Context, name string) (*pb.Dataset, []string, error) {
	answer, err := unary(ctx, c, c.datasets.DeleteDataset, &pb.DeleteDatasetRequest{Name: name})
	return answer.GetDataset(), answer.GetModels(), err
}

// InferSchema is the schema that training would use with these overrides, which may
// be nil, and what a person should look at before.
func (c *Client) InferSchema(
	ctx context.Context, dataset string, overrides *pb.SchemaOverrides,
) (*pb.Schema, []*pb.Finding, error) {
	request := &pb.InferSchemaRequest{Dataset: dataset, SchemaOverrides: overrides}
	answer, err := unary(ctx, c, c.datasets.InferSchema, request)
	return answer.GetSchema(), answer.GetFindings(), err
}
