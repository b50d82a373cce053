// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package kohort

import (
	"context"
	"crypto/sha256"
	"io"
	"iter"
	"os"
	"path/filepath"
	"strings"

	pb "github.com/kohort-health/kohort/clients/go/kohort/v1"
)

// chunkSize of files on their way to the server; it takes up to 3.5 MiB.
const chunkSize = 1 << 20

var formats = map[string]pb.UploadFormat{
	".csv":     pb.UploadFormat_UPLOAD_FORMAT_CSV,
	".parquet": pb.UploadFormat_UPLOAD_FORMAT_PARQUET,
	".pq":      pb.UploadFormat_UPLOAD_FORMAT_PARQUET,
	".xlsx":    pb.UploadFormat_UPLOAD_FORMAT_EXCEL,
}

// UploadFile uploads a table from a file: .csv, .parquet, .pq or .xlsx. See
// [Client.Upload].
func (c *Client) UploadFile(ctx context.Context, path string, options ...UploadOption) (*pb.Dataset, error) {
	format, known := formats[strings.ToLower(filepath.Ext(path))]
	if !known {
		return nil, wrongUse("the file's name must end in one of .csv, .parquet, .pq, .xlsx")
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return c.Upload(ctx, file, format, options...)
}

// Upload stores the table that the reader holds in this format, from its start. It
// is read twice, first for its digest, which the server checks; and once more for
// each further try. Without a deadline of ctx it takes up to Timeouts.Transfer.
//
// The error is an [*Error] naming table and column where the data is at fault, or
// that of the reader.
func (c *Client) Upload(
	ctx context.Context, data io.ReadSeeker, format pb.UploadFormat, options ...UploadOption,
) (*pb.Dataset, error) {
	header, err := uploadHeader(format, options)
	if err != nil {
		return nil, err
	}
	table := header.Schema.Tables[0].Name
	digest, err := digestOf(ctx, data)
	if err != nil {
		return nil, err
	}
	header.Digests = []*pb.ExpectedDigest{{Table: table, Sha256: digest}}
	return c.upload(ctx, header, func() iter.Seq2[*pb.UploadDatasetRequest, error] {
		return func(yield func(*pb.UploadDatasetRequest, error) bool) {
			for chunk, err := range chunks(data) {
				part := &pb.UploadDatasetRequest_Chunk{Chunk: &pb.FileChunk{Table: table, Data: chunk}}
				if !yield(&pb.UploadDatasetRequest{Part: part}, err) {
					return
				}
			}
		}
	})
}

// chunks are the bytes of the reader from its start. Each is valid until the next:
// grpc has encoded it when Send returns.
func chunks(data io.ReadSeeker) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		if _, err := data.Seek(0, io.SeekStart); err != nil {
			yield(nil, err)
			return
		}
		buffer := make([]byte, chunkSize)
		for {
			// Not by io.ReadFull: of a reader that is cut short it would make a good end.
			n, err := 0, error(nil)
			for n < len(buffer) && err == nil {
				var more int
				more, err = data.Read(buffer[n:])
				n += more
			}
			if n > 0 && !yield(buffer[:n], nil) {
				return
			}
			if err == io.EOF {
				return
			}
			if err != nil {
				yield(nil, err)
				return
			}
		}
	}
}

// digestOf is the SHA-256 of all that the reader holds.
func digestOf(ctx context.Context, data io.ReadSeeker) ([]byte, error) {
	digest := sha256.New()
	for chunk, err := range chunks(data) {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return nil, err
		}
		digest.Write(chunk)
	}
	return digest.Sum(nil), nil
}
