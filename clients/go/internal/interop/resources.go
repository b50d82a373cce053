// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/hex"
	"strconv"
	"strings"
	"time"

	"github.com/kohort-health/kohort/clients/go/kohort"
	pb "github.com/kohort-health/kohort/clients/go/kohort/v1"
)

// upload hands a CSV file in.
func (d *driver) upload() (any, error) {
	ctx, cancel := d.deadline()
	defer cancel()
	dataset, err := d.client.UploadFile(ctx, d.words[0], kohort.Table(d.words[1]))
	if err != nil {
		return nil, err
	}
	columns := []string{}
	for _, table := range dataset.GetSchema().GetTables() {
		for _, column := range table.GetColumns() {
			columns = append(columns, column.GetName())
		}
	}
	return map[string]any{
		"dataset": dataset.GetName(),
		"rows":    strconv.FormatInt(dataset.GetRowCounts()[d.words[1]], 10),
		"digest":  hex.EncodeToString(dataset.GetDigest()),
		"columns": columns,
	}, nil
}

// train starts a job and follows it; the words after the seed are NAME NUMBER each.
func (d *driver) train() (any, error) {
	seed, err := d.whole(2)
	if err != nil {
		return nil, err
	}
	options := []kohort.TrainOption{kohort.Trainer(d.words[1]), kohort.Seed(seed)}
	for i := 3; i+1 < len(d.words); i += 2 {
		number, err := strconv.ParseFloat(d.words[i+1], 64)
		if err != nil {
			return nil, err
		}
		options = append(options, kohort.Parameter(d.words[i], number))
	}
	ctx, cancel := d.deadline()
	defer cancel()
	job, err := d.client.Train(ctx, d.words[0], options...)
	if err != nil {
		return nil, err
	}
	return d.followed(job, 0)
}

// follow follows a job that somebody else started.
func (d *driver) follow() (any, error) {
	after, err := d.whole(1)
	if err != nil {
		return nil, err
	}
	ctx, cancel := d.deadline()
	defer cancel()
	job, err := d.client.Job(ctx, d.words[0])
	if err != nil {
		return nil, err
	}
	return d.followed(job, after)
}

func (d *driver) followed(job *kohort.Job, after int64) (any, error) {
	ctx, cancel := d.deadline()
	defer cancel()
	sequences, phases := []int64{}, []string{}
	for update, err := range job.Follow(ctx, after) {
		if err != nil {
			return nil, err
		}
		event := update.GetEvent()
		if event == nil {
			continue
		}
		sequences = append(sequences, event.GetSequence())
		if phase := event.GetPhaseStarted(); phase != nil {
			phases = append(phases, phase.GetPhase())
		}
	}
	info := job.Info()
	told := map[string]any{
		"job": job.Name(), "state": state(info), "model": info.GetModel(), "events": len(sequences),
		"sequences": sequences, "phases": phases, "error": nil,
	}
	if len(sequences) > 0 {
		told["sequences"] = []int64{sequences[0], sequences[len(sequences)-1]}
	}
	if failed := info.GetError(); failed != nil {
		told["error"] = map[string]string{"reason": failed.GetReason(), "column": failed.GetColumn()}
	}
	return told, nil
}

func state(job *pb.Job) string {
	return strings.TrimPrefix(job.GetState().String(), "JOB_STATE_")
}

// cancel asks a job to stop.
func (d *driver) cancel() (any, error) {
	ctx, cancel := d.deadline()
	defer cancel()
	job, err := d.client.Job(ctx, d.words[0])
	if err != nil {
		return nil, err
	}
	info, err := job.Cancel(ctx)
	if err != nil {
		return nil, err
	}
	return map[string]any{"state": state(info)}, nil
}

// model tells about a model.
func (d *driver) model() (any, error) {
	ctx, cancel := d.deadline()
	defer cancel()
	model, err := d.client.Model(ctx, d.words[0])
	if err != nil {
		return nil, err
	}
	return map[string]any{"model": model.GetName(), "trainer": model.GetTrainer(), "unit": model.GetUnit()}, nil
}

// idle says nothing for a while between two calls.
func (d *driver) idle() (any, error) {
	seconds, err := strconv.ParseFloat(d.words[1], 64)
	if err != nil {
		return nil, err
	}
	if _, err := d.model(); err != nil {
		return nil, err
	}
	time.Sleep(time.Duration(seconds * float64(time.Second)))
	ctx, cancel := d.deadline()
	defer cancel()
	model, err := d.client.Model(ctx, d.words[0])
	if err != nil {
		return nil, err
	}
	return map[string]any{"model": model.GetName()}, nil
}
