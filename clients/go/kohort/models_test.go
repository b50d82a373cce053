// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package kohort_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/kohort-health/kohort/clients/go/internal/fakeserver"
	"github.com/kohort-health/kohort/clients/go/kohort"
	pb "github.com/kohort-health/kohort/clients/go/kohort/v1"
)

func TestModels(t *testing.T) {
	server := serve(t)
	client := dial(t, server.Address)
	for range 3 {
		server.AddModel(&pb.Model{})
	}
	var names []string
	for model, err := range client.Models(within(t)) {
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, model.GetName())
	}
	if len(names) != 3 || names[0] != "models/3" {
		t.Errorf("got %v", names)
	}
	if err := client.DeleteModel(within(t), "models/2"); err != nil {
		t.Fatal(err)
	}
	for _, missing := range []error{client.DeleteModel(within(t), "models/2"), func() error {
		_, err := client.Model(within(t), "models/2")
		return err
	}()} {
		if !errors.Is(missing, kohort.ErrNotFound) {
			t.Errorf("got %v, want ErrNotFound", missing)
		}
	}
}

// TestADownloadGoesOnAfterACut at any place, and every byte is written once.
func TestADownloadGoesOnAfterACut(t *testing.T) {
	for _, cuts := range [][]int64{nil, {100}, {60_000}, {500_000}, {300_000, 700_000, 10, 900_000, 20_000}} {
		noLeaks(t)
		server := serve(t)
		model := server.AddModel(&pb.Model{})
		server.CutAfter(cuts...)
		var bundle bytes.Buffer
		info, err := dial(t, server.Address).DownloadModel(within(t), model.GetName(), &bundle)
		if err != nil {
			t.Fatalf("cut after %v: %v", cuts, err)
		}
		if digest := sha256.Sum256(bundle.Bytes()); !bytes.Equal(digest[:], model.GetBundleDigest()) ||
			!bytes.Equal(digest[:], info.GetSha256()) || info.GetSizeBytes() != int64(bundle.Len()) {
			t.Errorf("cut after %v: %d bytes are others than were sent", cuts, bundle.Len())
		}
		if count := server.Connections(); count != len(cuts)+1 {
			t.Errorf("cut after %v: %d connections", cuts, count)
		}
	}
}

func TestADownloadIsChecked(t *testing.T) {
	server := serve(t)
	model := server.AddModel(&pb.Model{})
	server.SpoilBundle(model.GetName())
	_, err := dial(t, server.Address).DownloadModel(within(t), model.GetName(), &bytes.Buffer{})
	var altered *kohort.IntegrityError
	if !errors.As(err, &altered) {
		t.Fatalf("got %v, want an IntegrityError", err)
	}
	contains(t, err.Error(), "does not have its digest")
}

// full takes some bytes and then none.
type full struct {
	left int
	err  error
}

func (f *full) Write(p []byte) (int, error) {
	if f.left -= len(p); f.left < 0 {
		return 0, f.err
	}
	return len(p), nil
}

func TestTheErrorOfTheWriterIsTheErrorOfTheDownload(t *testing.T) {
	noLeaks(t)
	// Also one that would mean something else, had a stream returned it.
	for _, want := range []error{errors.New("the disk is full"), io.EOF} {
		server := serve(t)
		model := server.AddModel(&pb.Model{})
		_, err := dial(t, server.Address).DownloadModel(within(t), model.GetName(), &full{100_000, want})
		if err != want {
			t.Errorf("got %v, want %v", err, want)
		}
		if calls := len(server.Calls("DownloadModel")); calls != 1 {
			t.Errorf("%d calls", calls)
		}
	}
}

func TestImport(t *testing.T) {
	bundle := bytes.Repeat([]byte("bundle"), 500_000)
	for _, spoil := range []func(*fakeserver.Server){
		func(*fakeserver.Server) {},
		func(s *fakeserver.Server) { s.Fail("ImportModel", status.Error(codes.Unavailable, "gone")) },
		func(s *fakeserver.Server) { s.Lose("ImportModel") },
	} {
		server := serve(t)
		spoil(server)
		client := dial(t, server.Address)
		model, err := client.ImportModel(within(t), bytes.NewReader(bundle), kohort.DisplayName("Imported"))
		if err != nil {
			t.Fatal(err)
		}
		digest := sha256.Sum256(bundle)
		if model.GetName() != "models/1" || model.GetDisplayName() != "Imported" || !bytes.Equal(model.GetBundleDigest(), digest[:]) {
			t.Errorf("got %v", model)
		}
		for model := range client.Models(within(t)) {
			if model.GetName() != "models/1" {
				t.Errorf("%s was made, too", model.GetName())
			}
		}
	}
}
