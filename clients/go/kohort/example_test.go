// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package kohort_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/kohort-health/kohort/clients/go/internal/fakeserver"
	"github.com/kohort-health/kohort/clients/go/kohort"
)

// example stands in for a test where there is none.
type example struct {
	testing.TB
	folder string
}

func newExample() *example {
	folder, err := os.MkdirTemp("", "kohort")
	if err != nil {
		log.Fatal(err)
	}
	return &example{folder: folder}
}

func (e *example) Helper()         {}
func (e *example) Fatal(v ...any)  { log.Fatal(v...) }
func (e *example) TempDir() string { return e.folder }
func (e *example) clean()          { _ = os.RemoveAll(e.folder) }

// connect gives an example a client of a server in this process, and a table.
func connect() (client *kohort.Client, patients string, done func()) {
	run, server := newExample(), fakeserver.Start()
	client, err := kohort.NewClient(server.Address)
	if err != nil {
		log.Fatal(err)
	}
	patients = filepath.Join(run.folder, "patients.csv")
	if err := os.WriteFile(patients, []byte("id,age,sex\n1,63,F\n2,70,M\n2,71,M\n"), 0o600); err != nil {
		log.Fatal(err)
	}
	return client, patients, func() {
		_ = client.Close()
		server.Stop()
		run.clean()
	}
}

// secured gives an example the address of a server that asks for client
// certificates, and the PEM files of a client.
func secured() (address, ca, cert, key string, done func()) {
	run := newExample()
	signer := newAuthority(run)
	soon := time.Now().Add(time.Hour)
	cert, key = signer.issue("localhost", soon)
	server := fakeserver.Start(signer.server(cert, key, true))
	cert, key = signer.issue("hospital", soon)
	return server.Address, signer.file, cert, key, func() {
		server.Stop()
		run.clean()
	}
}

// A server on this machine is called in plaintext, any other by TLS with the
// authorities of the system. Nothing is sent before the first call.
func ExampleNewClient() {
	client, err := kohort.NewClient("kohort.example", kohort.WithToken("secret"))
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	// Output:
}

// A hospital's own authority signed the server's certificate, and the server asks
// for one of the client (mTLS).
func ExampleWithTLS() {
	address, ca, cert, key, done := secured()
	defer done()

	client, err := kohort.NewClient(address, kohort.WithTLS(kohort.TLS{CAFile: ca, CertFile: cert, KeyFile: key}))
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	able, err := client.Capabilities(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(able.GetApiVersion(), able.GetDefaultTrainer())
	// Output: v1 copula
}

// A token that changes is read anew for every try of every call.
func ExampleWithTokenSource() {
	server := fakeserver.Start()
	defer server.Stop()

	client, err := kohort.NewClient(server.Address, kohort.WithTokenSource(func(ctx context.Context) (string, error) {
		return "as-it-is-at-" + time.Unix(0, 0).UTC().Format(time.TimeOnly), nil
	}))
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	if _, err := client.Capabilities(context.Background()); err != nil {
		log.Fatal(err)
	}
	fmt.Println(server.Calls("GetCapabilities")[0]["authorization"])
	// Output: [Bearer as-it-is-at-00:00:00]
}

// A file is read twice: first for its digest, which the server checks.
func ExampleClient_UploadFile() {
	client, patients, done := connect()
	defer done()

	dataset, err := client.UploadFile(context.Background(), patients,
		kohort.Table("patients"),
		kohort.SubjectKey("id"),
		kohort.DisplayName("Ward 7"),
		kohort.ExpiresIn(24*time.Hour),
	)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(dataset.GetName(), dataset.GetRowCounts()["patients"])
	// Output: datasets/1 3
}

// The events of a job survive lost connections; leaving the loop changes nothing for
// the job.
func ExampleClient_Train() {
	client, patients, done := connect()
	defer done()
	ctx := context.Background()
	dataset, err := client.UploadFile(ctx, patients)
	if err != nil {
		log.Fatal(err)
	}

	job, err := client.Train(ctx, dataset.GetName(),
		kohort.Trainer("copula"), kohort.Parameter("epochs", 3), kohort.Seed(7))
	if err != nil {
		log.Fatal(err)
	}
	for update, err := range job.Events(ctx) {
		if err != nil {
			log.Fatal(err)
		}
		if progress := update.GetEvent().GetProgress(); progress != nil {
			fmt.Println("epoch", progress.GetStep(), "of", progress.GetTotalSteps())
		}
	}
	model, err := job.Wait(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(model.GetName())
	// Output:
	// epoch 1 of 3
	// epoch 2 of 3
	// epoch 3 of 3
	// models/1
}

// A job that failed is no failed call.
func ExampleJobError() {
	client, patients, done := connect()
	defer done()
	ctx := context.Background()
	dataset, err := client.UploadFile(ctx, patients)
	if err != nil {
		log.Fatal(err)
	}
	job, err := client.Train(ctx, dataset.GetName(), kohort.Trainer("diverging"))
	if err != nil {
		log.Fatal(err)
	}

	_, err = job.Wait(ctx)
	var ended *kohort.JobError
	if errors.As(err, &ended) {
		fmt.Println(ended.Job.GetError().GetReason(), errors.Is(err, kohort.ErrJobFailed))
	}
	// Output: TRAINING_DIVERGED true
}

// What failed is told by sentinels, and in full by the Error behind them.
func ExampleError() {
	client, patients, done := connect()
	defer done()
	ctx := context.Background()
	dataset, err := client.UploadFile(ctx, patients)
	if err != nil {
		log.Fatal(err)
	}

	_, err = client.Train(ctx, dataset.GetName(), kohort.Trainer("magic"))
	var failed *kohort.Error
	switch {
	case errors.Is(err, kohort.ErrOverloaded):
		fmt.Println("come back later")
	case errors.As(err, &failed) && failed.Code == codes.InvalidArgument:
		fmt.Println(failed.Reason, failed.Violations[0].Field)
	}
	// Output: UNKNOWN_TRAINER trainer
}

// A deadline of the context is that of all tries. The job goes on after it.
func Example_deadline() {
	client, patients, done := connect()
	defer done()
	dataset, err := client.UploadFile(context.Background(), patients)
	if err != nil {
		log.Fatal(err)
	}
	job, err := client.Train(context.Background(), dataset.GetName(), kohort.Trainer("held"))
	if err != nil {
		log.Fatal(err)
	}

	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	_, err = job.Wait(ctx)
	fmt.Println(errors.Is(err, context.DeadlineExceeded))
	// The handle attaches again, from any process.
	again, err := client.Job(context.Background(), job.Name())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(again.Info().GetState())
	// Output:
	// true
	// JOB_STATE_RUNNING
}
