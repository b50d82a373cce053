// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package kohort

import (
	"bytes"
	"context"
	"math"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/kohort-health/kohort/clients/go/internal/fakeserver"
)

func TestOptionsMakeTheRequest(t *testing.T) {
	client, server := playing(t, &fakeserver.Sampling{Model: fakeserver.Heart()})
	day := time.Date(2031, 1, 2, 0, 0, 0, 0, time.UTC)
	sample := client.Sample("models/heart", 8,
		Seed(7), StartUnit(4), Temperature(0.5), TopP(0.9), MaxAttempts(5), MaxBatchRows(100),
		Equals("sex", "F"), OneOf("cp", 1, int8(2), uint(3)).In("heart"), Between("age", 60, nil), NotNull("ca"), IsNull("thal"),
		Between("seen", day, day.Add(90*time.Minute+time.Microsecond)), Equals("ok", true), Equals("dose", Decimal{-5, 2}),
		Equals("stay", 90*time.Second), Equals("ratio", 0.25), Rebalance("num", map[int]float64{0: 1, 1: 3}),
	)
	if _, err := Collect[struct {
		Age int `kohort:"age"`
	}](context.Background(), sample); err != nil {
		t.Fatal(err)
	}
	const expected = `model:"models/heart" start_unit:4 unit_count:8 seed:7 format:SAMPLE_FORMAT_COLUMNS max_batch_rows:100 ` +
		`conditions:{column:"sex" one_of:{values:"F"}} conditions:{table:"heart" column:"cp" one_of:{values:"1" values:"2" values:"3"}} ` +
		`conditions:{column:"age" range:{minimum:"60"}} conditions:{column:"ca" is_null:false} conditions:{column:"thal" is_null:true} ` +
		`conditions:{column:"seen" range:{minimum:"2031-01-02" maximum:"2031-01-02T01:30:00.000001"}} ` +
		`conditions:{column:"ok" one_of:{values:"true"}} conditions:{column:"dose" one_of:{values:"-0.05"}} ` +
		`conditions:{column:"stay" one_of:{values:"PT90S"}} conditions:{column:"ratio" one_of:{values:"0.25"}} ` +
		`rebalancing:{column:"num" shares:{key:"0" value:1} shares:{key:"1" value:3}} temperature:0.5 top_p:0.9 max_attempts:5`
	found := regexp.MustCompile(` +`).ReplaceAllString(server.Sampling.Requests()[0].String(), " ")
	if found != expected {
		t.Errorf("the request is\n%s\nnot\n%s", found, expected)
	}
}

func TestOptionsThatMakeNoSense(t *testing.T) {
	client, server := playing(t, &fakeserver.Sampling{Model: fakeserver.Golden()})
	for words, sample := range map[string]*Sample{
		"at least 1 unit":    client.Sample("models/x", 0),
		"at most 2^53":       client.Sample("models/x", 1<<53, StartUnit(1)),
		"start is at least":  client.Sample("models/x", 1, StartUnit(-1)),
		"the units are 0":    client.Sample("models/x", 1, AugmentationFactor(2)),
		"set of values":      client.Sample("models/x", 1, OneOf("a")),
		"a bound at least":   client.Sample("models/x", 1, Between("a", nil, nil)),
		"of type []int":      client.Sample("models/x", 1, Equals("a", []int{1})),
		"IsNull and NotNull": client.Sample("models/x", 1, Equals("a", nil)),
		"no number":          client.Sample("models/x", 1, Equals("a", math.NaN())),
		"a condition is":     client.Sample("models/x", 1, Condition{}),
		"one column can be":  client.Sample("models/x", 1, Rebalance("a", map[string]float64{"x": 1}), Rebalance("b", map[bool]float64{true: 1})),
		"no table other":     client.Sample("models/x", 1, OnlyTable("other")),
		"patients, visits):": client.Sample("models/x", 1),
	} {
		err := sample.WriteCSV(context.Background(), &bytes.Buffer{})
		if err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("%s: the error is %v", words, err)
		}
	}
	if calls := len(server.Sampling.Requests()); calls != 2 {
		t.Errorf("%d calls: what makes no sense is not asked", calls)
	}
}
