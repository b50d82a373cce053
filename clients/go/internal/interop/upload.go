// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"

	"google.golang.org/grpc"

	pb "github.com/kohort-health/kohort/clients/go/kohort/v1"
)

const chunkSize = 1 << 20

func upload(ctx context.Context, connection grpc.ClientConnInterface, path, table string) (any, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	digest := sha256.Sum256(data)
	stream, err := pb.NewDatasetServiceClient(connection).UploadDataset(ctx)
	if err != nil {
		return nil, err
	}
	messages := []*pb.UploadDatasetRequest{{Part: &pb.UploadDatasetRequest_Header{Header: &pb.UploadHeader{
		RequestId: uuid(),
		Format:    pb.UploadFormat_UPLOAD_FORMAT_CSV,
		Schema:    &pb.Schema{Tables: []*pb.TableSchema{{Name: table}}},
		Digests:   []*pb.ExpectedDigest{{Table: table, Sha256: digest[:]}},
	}}}}
	for start := 0; start < len(data); start += chunkSize {
		chunk := &pb.FileChunk{Table: table, Data: data[start:min(start+chunkSize, len(data))]}
		messages = append(messages, &pb.UploadDatasetRequest{Part: &pb.UploadDatasetRequest_Chunk{Chunk: chunk}})
	}
	for _, message := range messages {
		// io.EOF means that the server has answered already; CloseAndRecv tells what.
		if err := stream.Send(message); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, err
		}
	}
	response, err := stream.CloseAndRecv()
	if err != nil {
		return nil, err
	}
	columns := []string{}
	for _, stored := range response.GetDataset().GetSchema().GetTables() {
		for _, column := range stored.GetColumns() {
			columns = append(columns, column.GetName())
		}
	}
	return map[string]any{
		"dataset": response.GetDataset().GetName(),
		"rows":    fmt.Sprint(response.GetDataset().GetRowCounts()[table]),
		"digest":  hex.EncodeToString(response.GetDataset().GetDigest()),
		"columns": columns,
	}, nil
}

// uuid makes a random (version 4) UUID.
func uuid() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
