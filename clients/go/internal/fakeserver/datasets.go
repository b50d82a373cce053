// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package fakeserver

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/csv"
	"errors"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	pb "github.com/kohort-health/kohort/clients/go/kohort/v1"
)

// An Upload is what a client sent.
type Upload struct {
	Header       *pb.UploadHeader  // came first
	Dictionaries []*pb.Dictionary  // of columns, in order of arrival
	Batches      []*pb.RecordBatch // of columns, in order of arrival
	File         []byte            // the chunks of a file, joined
}

// Uploads are the uploads that were stored.
func (s *Server) Uploads() []*Upload {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return append([]*Upload(nil), s.uploads...)
}

// UploadDataset implements the service. A table named "refused" is refused at the
// header, while the client still sends.
func (s *Server) UploadDataset(
	stream grpc.ClientStreamingServer[pb.UploadDatasetRequest, pb.UploadDatasetResponse],
) error {
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	upload := &Upload{Header: first.GetHeader()}
	if upload.Header == nil || len(upload.Header.GetRequestId()) != 36 {
		return Refusal{Code: codes.InvalidArgument, Reason: "STREAM_OUT_OF_ORDER", Fields: []string{"header"}}.Err()
	}
	if upload.Header.GetSchema().GetTables()[0].GetName() == "refused" {
		return Refusal{
			Code: codes.InvalidArgument, Reason: "INVALID_SCHEMA", Fields: []string{"schema.tables[0].name"},
		}.Err()
	}
	for {
		message, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		switch part := message.GetPart().(type) {
		case *pb.UploadDatasetRequest_Dictionary:
			upload.Dictionaries = append(upload.Dictionaries, part.Dictionary)
		case *pb.UploadDatasetRequest_Batch:
			upload.Batches = append(upload.Batches, part.Batch)
		case *pb.UploadDatasetRequest_Chunk:
			upload.File = append(upload.File, part.Chunk.GetData()...)
		}
	}
	dataset, err := upload.read()
	if err != nil {
		return err
	}
	return stream.SendAndClose(&pb.UploadDatasetResponse{Dataset: s.keep(upload, dataset)})
}

func (s *Server) keep(upload *Upload, dataset *pb.Dataset) *pb.Dataset {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	id := upload.Header.GetRequestId()
	if name, known := s.created[id]; known {
		stored, _ := find(s.datasets, name, "")
		return stored
	}
	dataset.Name = numbered("datasets", len(s.uploads))
	s.created[id] = dataset.Name
	s.uploads = append(s.uploads, upload)
	s.datasets = append(s.datasets, dataset)
	return dataset
}

// read makes the dataset of an upload, and checks the digest of a file.
func (u *Upload) read() (*pb.Dataset, error) {
	table := proto.CloneOf(u.Header.GetSchema().GetTables()[0])
	rows := 0
	for _, batch := range u.Batches {
		rows += int(batch.GetRowCount())
	}
	digest := sha256.Sum256(u.File)
	if u.Header.GetFormat() == pb.UploadFormat_UPLOAD_FORMAT_COLUMNS {
		return u.dataset(table, rows, u.Header.GetDigests()[0].GetSha256()), nil
	}
	if !bytes.Equal(u.Header.GetDigests()[0].GetSha256(), digest[:]) {
		return nil, Refusal{Code: codes.InvalidArgument, Reason: "DIGEST_MISMATCH", Fields: []string{table.GetName()}}.Err()
	}
	lines, err := csv.NewReader(bytes.NewReader(u.File)).ReadAll()
	if err != nil || len(lines) == 0 {
		return nil, Refusal{Code: codes.InvalidArgument, Reason: "FILE_MALFORMED", Fields: []string{table.GetName()}}.Err()
	}
	table.Columns = nil
	for _, name := range lines[0] {
		table.Columns = append(table.Columns, &pb.Column{Name: name})
	}
	return u.dataset(table, len(lines)-1, digest[:]), nil
}

func (u *Upload) dataset(table *pb.TableSchema, rows int, digest []byte) *pb.Dataset {
	return &pb.Dataset{
		DisplayName: u.Header.GetDisplayName(), Labels: u.Header.GetLabels(), Digest: digest,
		Schema:    &pb.Schema{Tables: []*pb.TableSchema{table}},
		RowCounts: map[string]int64{table.GetName(): int64(rows)},
		SizeBytes: int64(len(u.File)), ExpireTime: u.Header.GetExpireTime(),
		DeleteAfterTraining: u.Header.GetDeleteAfterTraining(),
	}
}

// GetDataset implements the service.
func (s *Server) GetDataset(_ context.Context, request *pb.GetDatasetRequest) (*pb.GetDatasetResponse, error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	dataset, err := find(s.datasets, request.GetName(), "DATASET_NOT_FOUND")
	return &pb.GetDatasetResponse{Dataset: dataset}, err
}

// ListDatasets implements the service.
func (s *Server) ListDatasets(_ context.Context, request *pb.ListDatasetsRequest) (*pb.ListDatasetsResponse, error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	datasets, next, err := page(s.datasets, request.GetPageToken())
	return &pb.ListDatasetsResponse{Datasets: datasets, NextPageToken: next}, err
}

// DeleteDataset implements the service.
func (s *Server) DeleteDataset(_ context.Context, request *pb.DeleteDatasetRequest) (*pb.DeleteDatasetResponse, error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	dataset, err := find(s.datasets, request.GetName(), "DATASET_NOT_FOUND")
	if err != nil {
		return nil, err
	}
	s.datasets = without(s.datasets, request.GetName())
	models := []string{}
	for _, model := range s.models {
		if model.GetDataset() == dataset.GetName() {
			models = append(models, model.GetName())
		}
	}
	return &pb.DeleteDatasetResponse{Dataset: dataset, Models: models}, nil
}

// InferSchema implements the service.
func (s *Server) InferSchema(_ context.Context, request *pb.InferSchemaRequest) (*pb.InferSchemaResponse, error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	dataset, err := find(s.datasets, request.GetDataset(), "DATASET_NOT_FOUND")
	if err != nil {
		return nil, err
	}
	findings := []*pb.Finding{{Reason: "NO_SUBJECT_KEY", Message: "every row counts as a patient"}}
	return &pb.InferSchemaResponse{Schema: dataset.GetSchema(), Findings: findings}, nil
}
