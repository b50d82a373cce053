// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package kohort

import (
	"context"
	"iter"
	"reflect"
	"strings"

	"google.golang.org/protobuf/proto"

	pb "github.com/kohort-health/kohort/clients/go/kohort/v1"
)

const (
	// batchBytes is about what a batch takes: the contract asks for 0.5 to 1 MiB.
	batchBytes = 768 << 10
	// maxBatchBytes is what a batch takes at most; the contract allows 3.5 MiB.
	maxBatchBytes = 3 << 20
)

// UploadRows uploads structs as a dataset of one table, as typed columns. Fields with
// a tag `kohort:"column"` are its columns, in order; see [Rows]. For a slice:
//
//	dataset, err := kohort.UploadRows(ctx, client, slices.Values(patients), kohort.Table("heart"))
//
// Integers, floats, booleans, strings and lists of strings become what they are; a
// [Decimal] column gets the scale that holds all of its cells. A [time.Time] is an
// instant, to the microsecond; with the tag `kohort:"born,date"` it is a day and with
// `kohort:"seen,local"` a clock on the wall, as the time itself tells them. Pointers
// that are nil, a sql.Null and lists that are nil are null; zero values are not: the
// zero time is the year 1.
//
// The rows are read once, and held as columns until they are sent. The error is a
// [MappingError] where a cell cannot be sent; see [Client.Upload] for others.
func UploadRows[T any](
	ctx context.Context, c *Client, rows iter.Seq[T], options ...UploadOption,
) (*pb.Dataset, error) {
	header, err := uploadHeader(pb.UploadFormat_UPLOAD_FORMAT_COLUMNS, options)
	if err != nil {
		return nil, err
	}
	schema := header.GetSchema().GetTables()[0]
	fields, err := fieldsOf(reflect.TypeFor[T]())
	if err != nil {
		return nil, err
	}
	builders, err := buildersFor(schema.GetName(), fields, columnOf)
	if err != nil {
		return nil, err
	}
	if err := collect(ctx, schema.GetName(), fields, builders, rows); err != nil {
		return nil, err
	}
	if builders[0].rows == 0 {
		return nil, refused("EMPTY_TABLE", schema.GetName(), "there are no rows")
	}
	if err := declareColumns(schema, builders); err != nil {
		return nil, err
	}
	stream := newColumnDigests(len(builders))
	new(digester).add(stream, cut(builders, 0, builders[0].rows))
	header.Digests = []*pb.ExpectedDigest{{Table: schema.GetName(), Sha256: contentDigest(stream)}}
	return c.upload(ctx, header, func() iter.Seq2[*pb.UploadDatasetRequest, error] {
		return uploadParts(schema.GetName(), builders)
	})
}

// columnOf is the column that a field makes.
func columnOf(field field) (info *pb.Column, local bool, wrong string) {
	kind := field.kind
	for {
		if kind.Kind() == reflect.Pointer {
			kind = kind.Elem()
		} else if isSQLNull(kind) {
			kind = kind.Field(0).Type
		} else {
			break
		}
	}
	info = &pb.Column{Name: field.column}
	switch {
	case kind != timeType && (field.date || field.local):
		return nil, false, "date and local are for times"
	case kind == timeType && field.date:
		info.Storage = pb.Storage_STORAGE_DATE
	case kind == timeType && field.local:
		info.Storage = pb.Storage_STORAGE_DATETIME
	case kind == timeType:
		info.Storage, info.TimeZone = pb.Storage_STORAGE_DATETIME, "UTC"
	case kind == decimalType:
		info.Storage, info.Scale = pb.Storage_STORAGE_DECIMAL, anyScale
	case kind == durationType, kind == goDuration:
		info.Storage = pb.Storage_STORAGE_DURATION
	case kind.Kind() == reflect.Bool:
		info.Storage = pb.Storage_STORAGE_BOOL
	case isWhole(kind), isUnsigned(kind):
		info.Storage = pb.Storage_STORAGE_INT64
	case isFloat(kind):
		info.Storage = pb.Storage_STORAGE_DOUBLE
	case kind.Kind() == reflect.String:
		info.Storage = pb.Storage_STORAGE_STRING
	case isTexts(kind):
		info.Storage = pb.Storage_STORAGE_STRING_LIST
	default:
		return nil, false, "no cell is made of this type"
	}
	return info, field.local, ""
}

// buildersFor makes a builder per field, of the column that is told.
func buildersFor(
	table string, fields []field, column func(field) (*pb.Column, bool, string),
) ([]*builder, error) {
	builders := make([]*builder, len(fields))
	for i, field := range fields {
		info, local, wrong := column(field)
		if wrong == "" {
			builders[i], wrong = newBuilder(info, field.kind)
		}
		if wrong != "" {
			return nil, (&rowPlan{table: table}).mismatch(field, wrong)
		}
		builders[i].local = local
	}
	return builders, nil
}

// collect reads the rows into the builders.
func collect[T any](ctx context.Context, table string, fields []field, builders []*builder, rows iter.Seq[T]) error {
	plan := &rowPlan{table: table}
	count := 0
	for row := range rows {
		if count++; count%4096 == 0 && ctx.Err() != nil {
			return asError(ctx.Err(), "")
		}
		whole := reflect.ValueOf(&row).Elem()
		for i, field := range fields {
			if wrong := builders[i].append(whole.FieldByIndex(field.path)); wrong != "" {
				return plan.mismatch(field, wrong)
			}
		}
	}
	for i, field := range fields {
		if wrong := builders[i].settle(); wrong != "" {
			return plan.mismatch(field, wrong)
		}
	}
	return nil
}

// declareColumns puts the columns into the schema, with what was declared about them.
func declareColumns(schema *pb.TableSchema, builders []*builder) error {
	declared := map[string]*pb.Column{}
	for _, column := range schema.GetColumns() {
		declared[column.GetName()] = column
	}
	schema.Columns = nil
	for _, b := range builders {
		info := proto.CloneOf(b.info)
		if more := declared[info.GetName()]; more != nil {
			delete(declared, info.GetName())
			proto.Merge(info, more)
			info.Storage, info.Scale = b.info.GetStorage(), b.info.GetScale() // the cells are as they are
		}
		info.Nullable = info.GetNullable() || b.nulls > 0
		schema.Columns = append(schema.Columns, info)
	}
	for name := range declared {
		return refused("MISSING_COLUMN", schema.GetName()+"."+name, "it is declared but no field has it")
	}
	return nil
}

func cut(builders []*builder, start, stop int) []Column {
	columns := make([]Column, len(builders))
	for i, b := range builders {
		columns[i] = b.slice(start, stop)
	}
	return columns
}

// uploadParts gives dictionaries, then batches.
func uploadParts(table string, builders []*builder) iter.Seq2[*pb.UploadDatasetRequest, error] {
	return func(yield func(*pb.UploadDatasetRequest, error) bool) {
		for _, b := range builders {
			for chunk := range dictionaryChunks(table, b) {
				if !yield(&pb.UploadDatasetRequest{Part: &pb.UploadDatasetRequest_Dictionary{Dictionary: chunk}}, nil) {
					return
				}
			}
		}
		digests := newColumnDigests(len(builders))
		hashing := &digester{}
		rows := builders[0].rows
		shrunk := false
		for start, count := 0, min(rows, 256); start < rows; {
			columns := cut(builders, start, min(start+count, rows))
			batch := batchOf(table, columns)
			// Rows may be of very different size: the last ones tell what the next may take.
			size, rest := proto.Size(batch), rows-start-columns[0].rows
			fits := max(1, int(int64(columns[0].rows)*batchBytes/int64(size)))
			tooMuch := size > maxBatchBytes && columns[0].rows > 1
			if tooMuch || (size < batchBytes/2 && rest > 0 && !shrunk) {
				count, shrunk = fits, tooMuch
				continue
			}
			batch.Digest = hashing.add(digests, columns)
			if !yield(&pb.UploadDatasetRequest{Part: &pb.UploadDatasetRequest_Batch{Batch: batch}}, nil) {
				return
			}
			start, count, shrunk = start+columns[0].rows, fits, false
		}
	}
}

func batchOf(table string, columns []Column) *pb.RecordBatch {
	batch := &pb.RecordBatch{Table: table, RowCount: int32(columns[0].rows)}
	for i := range columns {
		batch.Columns = append(batch.Columns, columns[i].data())
	}
	return batch
}

// dictionaryChunks gives the dictionary of a column in messages of a MiB at most; one
// at least, so that an empty dictionary is told from none.
func dictionaryChunks(table string, b *builder) iter.Seq[*pb.Dictionary] {
	return func(yield func(*pb.Dictionary) bool) {
		for first := 0; b.codes != nil; {
			last, size := first, 0
			for last < len(b.dictionary) && (last == first || size+len(b.dictionary[last]) < 1<<20) {
				size += len(b.dictionary[last]) + 5
				last++
			}
			if !yield(&pb.Dictionary{
				Table: table, Column: b.Name(), FirstIndex: int32(first), Values: b.dictionary[first:last],
				Total: int32(len(b.dictionary)),
			}) || last == len(b.dictionary) {
				return
			}
			first = last
		}
	}
}

// data is the message of the cells.
func (c *Column) data() *pb.ColumnData {
	data := &pb.ColumnData{Validity: c.validity}
	switch c.info.GetStorage() {
	case pb.Storage_STORAGE_BOOL:
		data.Values = &pb.ColumnData_Bools{Bools: &pb.BoolValues{Values: c.bools}}
	case pb.Storage_STORAGE_DOUBLE:
		data.Values = &pb.ColumnData_Doubles{Doubles: &pb.DoubleValues{Values: c.doubles}}
	case pb.Storage_STORAGE_DATE:
		data.Values = &pb.ColumnData_Dates{Dates: &pb.DateValues{Values: c.days}}
	case pb.Storage_STORAGE_STRING_LIST:
		data.Values = &pb.ColumnData_Lists{Lists: &pb.ListValues{Offsets: c.offsets, Values: c.codes}}
	case pb.Storage_STORAGE_STRING:
		if c.codes == nil {
			data.Values = &pb.ColumnData_Strings{Strings: &pb.StringValues{Values: c.texts}}
		} else {
			data.Values = &pb.ColumnData_Indices{Indices: &pb.IndexValues{Values: c.codes}}
		}
	default:
		data.Values = &pb.ColumnData_Int64S{Int64S: &pb.Int64Values{Values: c.ints}}
	}
	return data
}

func storageName(storage pb.Storage) string {
	return strings.ToLower(strings.TrimPrefix(storage.String(), "STORAGE_"))
}
