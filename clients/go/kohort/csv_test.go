// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package kohort

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/kohort-health/kohort/clients/go/internal/fakeserver"
)

func TestCSVIsThatOfTheServer(t *testing.T) {
	client, _ := playing(t, &fakeserver.Sampling{Model: fakeserver.Golden()})
	var text bytes.Buffer
	if err := client.Sample("models/golden", 9, OnlyTable("patients")).WriteCSV(context.Background(), &text); err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(text.String(), "\r\n")
	for i, expected := range map[int]string{
		0: "id,alive,seen,count,ratio,dose,whole,trace,born,local,moment,stay,ward,code,remark,never,drugs\r\n",
		1: "syn-000000,true,true,0,nan,0.00,7,0.000000000001,1970-01-01,1970-01-01T00:00:00,,PT0S,\"\",C00000,\"\",,[]\r\n",
		2: "syn-000001,,false,-1,inf,-0.01,-7,-1.000000000000,1969-12-31,1969-12-31T23:59:59.999999," +
			"0001-01-01T00:00:00Z,PT0.000001S,Ward A,C00007,,,\r\n",
		4: "syn-000003,true,false,-9223372036854775808,-0.0,-2.50,7,,0001-01-01,1969-12-31T23:59:59.000001," +
			"2262-04-12T00:00:00Z,PT9223372036854.775807S,日本語,C00021,\"\",,\"[\"\"δ\"\", \"\"\"\", \"\"naïve\"\", \"\"δ\"\"]\"\r\n",
		7: "syn-000006,true,true,0,0.1,,7,9223372.036854775807,9999-12-31,,0001-01-01T00:00:00Z,PT0S,\"a\"\"b\\c\",C00042,日本語,,\r\n",
	} {
		if lines[i] != expected {
			t.Errorf("line %d is\n%q, not\n%q", i, lines[i], expected)
		}
	}
	records, err := csv.NewReader(&text).ReadAll()
	if err != nil || len(records) != 10 || records[8][12] != "line\nbreak\ttab\r" && records[8][12] != "line\nbreak\ttab\n" {
		t.Errorf("%d records, %v", len(records), err)
	}
}

func TestNumbersAsText(t *testing.T) {
	for number, text := range map[float64]string{
		0: "0.0", 1: "1.0", -2.5: "-2.5", 1e16: "1e+16", 9999999999999998: "9999999999999998.0", 1e-5: "1e-05", 1e-4: "0.0001",
		1.5e300: "1.5e+300", 5e-324: "5e-324", 123456789.125: "123456789.125", math.Inf(-1): "-inf",
	} {
		if found := string(appendDouble(nil, number)); found != text {
			t.Errorf("%s, not %s", found, text)
		}
	}
	if text := (Decimal{math.MinInt64, 12}).String(); text != "-9223372.036854775808" {
		t.Error(text)
	}
	if number := (Decimal{-250, 2}).Float64(); number != -2.5 {
		t.Error(number)
	}
	if text := string(appendDay(nil, -719529)); text != "-001-12-31" { // as the server's library writes it
		t.Error(text)
	}
	if text := string(appendJSON(nil, "\x01\"\\\n\r\t\b\f\u2028é")); text != `"\u0001\"\\\n\r\t\b\f`+"\u2028é\"" {
		t.Error(text)
	}
	if _, fits := (Duration{math.MinInt64}).Duration(); fits || (Duration{-1_500_000}).String() != "PT-1.5S" {
		t.Error("a duration")
	}
}

type full struct{ left int }

var errFull = errors.New("full")

func (w *full) Write(data []byte) (int, error) {
	if w.left--; w.left < 0 {
		return 0, errFull
	}
	return len(data), nil
}

func TestAnErrorOfTheWriterEndsTheCall(t *testing.T) {
	sampling := endless()
	client, _ := playing(t, sampling)
	sample := client.Sample("models/golden", fakeserver.GoldenUnits, OnlyTable("patients"))
	if err := sample.WriteCSV(context.Background(), &full{2}); err != errFull {
		t.Error(err)
	}
	awaitEnds(t, sampling, 1)
}
