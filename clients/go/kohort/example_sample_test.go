// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package kohort_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/kohort-health/kohort/clients/go/internal/fakeserver"
	"github.com/kohort-health/kohort/clients/go/kohort"
	pb "github.com/kohort-health/kohort/clients/go/kohort/v1"
)

// heartServer is a server with a model of heart patients, and a client of it.
func heartServer() (*fakeserver.Server, *kohort.Client) {
	server := fakeserver.Start()
	server.AddModel(&pb.Model{Name: "models/heart", Schema: server.Sampling.Model.Schema()})
	client, err := kohort.NewClient(server.Address)
	if err != nil {
		log.Fatal(err)
	}
	return server, client
}

// Patients as structs of your own.
func ExampleRows() {
	server, client := heartServer()
	defer server.Stop()
	defer client.Close()

	type Patient struct {
		Age      int             `kohort:"age"`
		Sex      string          `kohort:"sex"`
		Peak     *kohort.Decimal `kohort:"oldpeak"` // may be null
		Admitted time.Time       `kohort:"admitted"`
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for patient, err := range kohort.Rows[Patient](ctx, client.Sample("models/heart", 3, kohort.Seed(7))) {
		if err != nil {
			log.Fatal(err)
		}
		peak := "unknown"
		if patient.Peak != nil {
			peak = patient.Peak.String()
		}
		fmt.Println(patient.Age, patient.Sex, peak, patient.Admitted.Format(time.DateOnly))
	}
	// Output:
	// 63 M 2.3 2031-05-04
	// 41 F unknown 2031-06-30
	// 57 M 0.8 2031-05-04
}

// All rows at once, where they fit into memory.
func ExampleCollect() {
	server, client := heartServer()
	defer server.Stop()
	defer client.Close()

	type Patient struct {
		Age int    `kohort:"age"`
		Sex string `kohort:"sex"`
	}
	patients, err := kohort.Collect[Patient](context.Background(), client.Sample("models/heart", 1000))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(patients), patients[999])
	// Output: 1000 {63 F}
}

// A column that does not fit its field is told by name.
func ExampleMappingError() {
	server, client := heartServer()
	defer server.Stop()
	defer client.Close()

	type Patient struct {
		Peak kohort.Decimal `kohort:"oldpeak"` // may be null
	}
	_, err := kohort.Collect[Patient](context.Background(), client.Sample("models/heart", 10))
	var wrong *kohort.MappingError
	if errors.As(err, &wrong) {
		fmt.Println(wrong.Column, wrong.Field)
	}
	fmt.Println(err)
	// Output:
	// oldpeak Patient.Peak
	// kohort: column heart.oldpeak into field Patient.Peak (kohort.Decimal): a cell is null: make it a pointer or a sql.Null
}

// The fastest way: typed columns, some thousand rows at a time.
func ExampleSample_Batches() {
	server, client := heartServer()
	defer server.Stop()
	defer client.Close()

	sum, rows, unknown := int64(0), 0, 0
	for batch, err := range client.Sample("models/heart", 1000).Batches(context.Background()) {
		if err != nil {
			log.Fatal(err)
		}
		for _, age := range batch.Column("age").Ints() {
			sum += age
		}
		unknown += batch.Column("oldpeak").Nulls()
		rows += batch.Len()
	}
	fmt.Println(rows, sum/int64(rows), unknown)
	// Output: 1000 53 250
}

// Rows of a table that the program does not know.
func ExampleSample_Rows() {
	server, client := heartServer()
	defer server.Stop()
	defer client.Close()

	for row, err := range client.Sample("models/heart", 2).Rows(context.Background()) {
		if err != nil {
			log.Fatal(err)
		}
		for _, column := range row.Columns() {
			fmt.Print(column, "=", row.Value(column), " ")
		}
		age, err := kohort.Cell[int](row, "age")
		fmt.Println(age+1, err)
	}
	// Output:
	// age=63 sex=M oldpeak=2.3 admitted=2031-05-04 00:00:00 +0000 UTC 64 <nil>
	// age=41 sex=F oldpeak=<nil> admitted=2031-06-30 00:00:00 +0000 UTC 42 <nil>
}

func ExampleSample_WriteCSV() {
	server, client := heartServer()
	defer server.Stop()
	defer client.Close()

	var text strings.Builder // or a file
	if err := client.Sample("models/heart", 3, kohort.Seed(7)).WriteCSV(context.Background(), &text); err != nil {
		log.Fatal(err)
	}
	fmt.Print(strings.ReplaceAll(text.String(), "\r\n", "\n"))
	// Output:
	// age,sex,oldpeak,admitted
	// 63,M,2.3,2031-05-04
	// 41,F,,2031-06-30
	// 57,M,0.8,2031-05-04
}

// What every row satisfies, and shares other than the learned ones.
func ExampleCondition() {
	server, client := heartServer()
	defer server.Stop()
	defer client.Close()

	sample := client.Sample("models/heart", 4, kohort.Seed(7),
		kohort.Between("age", 40, 65),
		kohort.OneOf("sex", "F", "M"),
		kohort.NotNull("admitted"),
		kohort.Rebalance("sex", map[string]float64{"F": 1, "M": 1}),
	)
	for _, err := range sample.Batches(context.Background()) {
		if errors.Is(err, kohort.ErrConditionUnsupported) {
			fmt.Println("this model cannot do that")
		} else if err != nil {
			log.Fatal(err)
		}
	}
	fmt.Println(len(server.Sampling.Requests()[0].GetConditions()), "conditions")
	// Output: 3 conditions
}

// A stream that breaks goes on where it broke: the loop sees every row once.
func ExampleSample_resume() {
	server, client := heartServer()
	defer server.Stop()
	defer client.Close()
	server.Sampling.Before = func(call, message int) error {
		if call == 0 && message == 10 {
			return status.Error(codes.Unavailable, "the network broke")
		}
		return nil
	}

	sample := client.Sample("models/heart", 1000)
	rows := 0
	for batch, err := range sample.Batches(context.Background()) {
		if err != nil {
			log.Fatal(err)
		}
		rows += batch.Len()
	}
	again := server.Sampling.Requests()[1]
	fmt.Println(rows, "rows in", sample.Streams(), "calls, the second from unit", again.GetStartUnit())
	// Output: 1000 rows in 2 calls, the second from unit 32
}

func ExampleUploadRows() {
	server, client := heartServer()
	defer server.Stop()
	defer client.Close()

	type Patient struct {
		ID       string    `kohort:"id"`
		Age      int       `kohort:"age"`
		BMI      *float64  `kohort:"bmi"`
		Admitted time.Time `kohort:"admitted,date"`
	}
	bmi := 24.5
	patients := []Patient{
		{"a", 63, &bmi, time.Date(2031, 5, 4, 0, 0, 0, 0, time.UTC)},
		{"b", 41, nil, time.Date(2031, 6, 30, 0, 0, 0, 0, time.UTC)},
	}
	dataset, err := kohort.UploadRows(context.Background(), client, slices.Values(patients),
		kohort.Table("heart"), kohort.SubjectKey("id"))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(dataset.GetRowCounts()["heart"])
	// Output: 2
}

// Rows of which some cells are given.
func ExampleComplete() {
	server, client := heartServer()
	defer server.Stop()
	defer client.Close()

	type Known struct {
		Age int     `kohort:"age"`
		Sex *string `kohort:"sex"` // nil: the model's to say
	}
	known := []Known{{Age: 50}, {Age: 60}}
	rows := 0
	sample := client.Sample("models/heart", 0, kohort.Complete(slices.Values(known)))
	for _, err := range sample.Rows(context.Background()) {
		if err != nil {
			log.Fatal(err)
		}
		rows++
	}
	fmt.Println(rows)
	// Output: 2
}
