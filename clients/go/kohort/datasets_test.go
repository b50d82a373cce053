// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package kohort_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/kohort-health/kohort/clients/go/internal/fakeserver"
	"github.com/kohort-health/kohort/clients/go/kohort"
	pb "github.com/kohort-health/kohort/clients/go/kohort/v1"
)

// rows are the bytes of a CSV file of more than several chunks and windows.
func rows() []byte {
	text := []byte("id,größe\n")
	for i := range 200_000 {
		text = fmt.Appendf(text, "%d,%d\n", i, i%250)
	}
	return text
}

func TestUploadByChunks(t *testing.T) {
	noLeaks(t)
	server := serve(t)
	client := dial(t, server.Address)
	data := rows()
	dataset, err := client.Upload(within(t), bytes.NewReader(data), pb.UploadFormat_UPLOAD_FORMAT_CSV,
		kohort.Table("visits"), kohort.SubjectKey("id"), kohort.DisplayName("Visits"), kohort.DeleteAfterTraining(),
		kohort.ExpiresIn(time.Hour), kohort.Labels(map[string]string{"ward": "7"}),
		kohort.Declare(&pb.TableSchema{Columns: []*pb.Column{{Name: "größe", Kind: pb.ColumnKind_COLUMN_KIND_INTEGER}}}),
	)
	if err != nil {
		t.Fatal(err)
	}
	if dataset.GetRowCounts()["visits"] != 200_000 || dataset.GetDisplayName() != "Visits" || !dataset.GetDeleteAfterTraining() ||
		time.Until(dataset.GetExpireTime().AsTime()) > time.Hour || dataset.GetLabels()["ward"] != "7" {
		t.Errorf("got %v", dataset)
	}
	upload := server.Uploads()[0]
	table := upload.Header.GetSchema().GetTables()[0]
	if !bytes.Equal(upload.File, data) || table.GetName() != "visits" || table.GetSubjectKey() != "id" || len(table.GetColumns()) != 1 {
		t.Errorf("%d bytes, table %v", len(upload.File), table)
	}
}

// TestAnUploadIsSentAgain from its start, and found where it was stored.
func TestAnUploadIsSentAgain(t *testing.T) {
	for name, spoil := range map[string]func(*fakeserver.Server){
		"unavailable":            func(s *fakeserver.Server) { s.Fail("UploadDataset", status.Error(codes.Unavailable, "gone")) },
		"an answer that is lost": func(s *fakeserver.Server) { s.Lose("UploadDataset") },
		// What a server writes during an upload are settings and acknowledgements.
		"a cut": func(s *fakeserver.Server) { s.CutAfter(100) },
	} {
		t.Run(name, func(t *testing.T) {
			noLeaks(t)
			server := serve(t)
			spoil(server)
			dataset, err := dial(t, server.Address).Upload(
				within(t), bytes.NewReader(rows()), pb.UploadFormat_UPLOAD_FORMAT_CSV)
			if err != nil || dataset.GetRowCounts()["table"] != 200_000 || len(server.Uploads()) != 1 {
				t.Errorf("got %v and %v, %d stored", dataset.GetName(), err, len(server.Uploads()))
			}
			if calls := len(server.Calls("UploadDataset")); calls != 2 {
				t.Errorf("%d calls", calls)
			}
		})
	}
}

// TestAnUploadThatIsRefusedAtOnce tells why, though the client was still sending.
func TestAnUploadThatIsRefusedAtOnce(t *testing.T) {
	noLeaks(t)
	client := dial(t, serve(t).Address)
	_, err := client.Upload(within(t), bytes.NewReader(rows()), pb.UploadFormat_UPLOAD_FORMAT_CSV, kohort.Table("refused"))
	if got := failed(t, err); got.Reason != "INVALID_SCHEMA" || got.Violations[0].Field != "schema.tables[0].name" {
		t.Errorf("got %v", got)
	}
}

// broken gives some bytes at its second reading and then an error.
type broken struct {
	*bytes.Reader
	readings int
	err      error
}

func (b *broken) Seek(offset int64, whence int) (int64, error) {
	b.readings++
	return b.Reader.Seek(offset, whence)
}

func (b *broken) Read(p []byte) (int, error) {
	if b.readings == 2 && b.Len() < 2_000_000 {
		return 0, b.err
	}
	return b.Reader.Read(p)
}

func TestTheErrorOfTheReaderIsTheErrorOfTheUpload(t *testing.T) {
	noLeaks(t)
	server := serve(t)
	client := dial(t, server.Address)
	for _, want := range []error{errors.New("the disk is gone"), io.ErrClosedPipe, io.ErrUnexpectedEOF} {
		data := &broken{Reader: bytes.NewReader(bytes.Repeat([]byte("a,b\n"), 1<<20)), err: want}
		_, err := client.Upload(within(t), data, pb.UploadFormat_UPLOAD_FORMAT_CSV)
		if !errors.Is(err, want) {
			t.Errorf("got %v, want %v", err, want)
		}
	}
	if len(server.Uploads()) != 0 {
		t.Error("a part was stored")
	}
}

func TestAnUploadEndsWithItsContext(t *testing.T) {
	noLeaks(t)
	client := dial(t, serve(t).Address)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := client.UploadFile(ctx, csvFile(t))
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want Canceled", err)
	}
}

func TestFilesThatCannotBeSent(t *testing.T) {
	client := dial(t, serve(t).Address)
	folder := t.TempDir()
	if _, err := client.UploadFile(within(t), filepath.Join(folder, "rows.sas7bdat")); err == nil {
		t.Error("an unknown kind of file was sent")
	} else {
		contains(t, err.Error(), ".csv, .parquet, .pq, .xlsx")
	}
	if _, err := client.UploadFile(within(t), filepath.Join(folder, "rows.csv")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v, want ErrNotExist", err)
	}
}

func TestDatasets(t *testing.T) {
	server := serve(t)
	client := dial(t, server.Address)
	var want []string
	for range 5 {
		want = append(want, uploaded(t, client).GetName())
	}
	slices.Reverse(want)
	var names []string
	for dataset, err := range client.Datasets(within(t)) {
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, dataset.GetName())
	}
	if !slices.Equal(names, want) {
		t.Errorf("got %v, want %v", names, want)
	}
	before := len(server.Calls("ListDatasets"))
	for range client.Datasets(within(t)) {
		break
	}
	if calls := len(server.Calls("ListDatasets")) - before; calls != 1 {
		t.Errorf("%d pages for one dataset", calls)
	}
	schema, findings, err := client.InferSchema(within(t), want[0], nil)
	if err != nil || len(schema.GetTables()[0].GetColumns()) != 2 || findings[0].GetReason() != "NO_SUBJECT_KEY" {
		t.Errorf("got %v, %v and %v", schema, findings, err)
	}
	job, err := client.Train(within(t), want[0])
	if err != nil {
		t.Fatal(err)
	}
	left, models, err := client.DeleteDataset(within(t), want[0])
	if err != nil || left.GetName() != want[0] || !slices.Equal(models, []string{job.Info().GetModel()}) && len(models) != 1 {
		t.Errorf("got %v, %v and %v", left, models, err)
	}
	if _, err := client.Dataset(within(t), want[0]); !errors.Is(err, kohort.ErrNotFound) {
		t.Errorf("got %v, want ErrNotFound", err)
	}
}

func TestAListThatFailsSaysSoLast(t *testing.T) {
	server := serve(t)
	client := dial(t, server.Address)
	for range 3 {
		uploaded(t, client)
	}
	count, last := 0, error(nil)
	for _, err := range client.Datasets(within(t)) {
		if count++; count == 2 {
			server.Fail("ListDatasets", status.Error(codes.Internal, "a defect"))
		}
		last = err
	}
	if count != 3 || !errors.Is(last, kohort.ErrServer) {
		t.Errorf("%d items, then %v", count, last)
	}
}
