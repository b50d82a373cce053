// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package kohort

import (
	"math/bits"

	pb "github.com/kohort-health/kohort/clients/go/kohort/v1"
)

// A Batch holds synthetic rows of one table as typed columns: some thousand rows,
// below one mebibyte or so. It was compared with its digest.
type Batch struct {
	table     *tableInfo
	columns   []Column
	rows      int
	firstUnit int64
	firstRow  int64
	nextUnit  int64
}

// tableInfo is what the batches of one table share.
type tableInfo struct {
	schema   *pb.TableSchema
	names    []string
	position map[string]int
}

func newTableInfo(schema *pb.TableSchema) *tableInfo {
	info := &tableInfo{schema: schema, position: make(map[string]int, len(schema.GetColumns()))}
	for i, column := range schema.GetColumns() {
		info.names = append(info.names, column.GetName())
		info.position[column.GetName()] = i
	}
	return info
}

// Table is the name of the table.
func (b *Batch) Table() string { return b.table.schema.GetName() }

// Schema tells what the table's columns are.
func (b *Batch) Schema() *pb.TableSchema { return b.table.schema }

// Len counts the rows.
func (b *Batch) Len() int { return b.rows }

// Columns are the cells, a Column per column of the schema, in its order.
func (b *Batch) Columns() []Column { return b.columns }

// Column gives the cells of the column of that name, nil where there is none.
func (b *Batch) Column(name string) *Column {
	if i, found := b.table.position[name]; found {
		return &b.columns[i]
	}
	return nil
}

// Row is row i.
func (b *Batch) Row(i int) Row { return Row{b, i} }

// FirstUnit is the unit (patient, or row where the generator models rows) that
// the first row belongs to.
func (b *Batch) FirstUnit() int64 { return b.firstUnit }

// FirstRowInUnit is the position of the first row within its unit.
func (b *Batch) FirstRowInUnit() int64 { return b.firstRow }

// NextUnit tells from where another sample would go on: every unit below it is
// complete, in every table, with the batch in which it grew.
func (b *Batch) NextUnit() int64 { return b.nextUnit }

// decodeBatch checks a batch against the schema of its table. The slices of the
// message become those of the batch. Errors name the column, never a cell.
func decodeBatch(message *pb.RecordBatch, table *tableInfo, dictionaries *dictionaries) (*Batch, error) {
	schema, rows := table.schema, int(message.GetRowCount())
	width := len(schema.GetColumns())
	// Rows without columns take no bytes: a few of them could announce billions.
	if rows < 0 || len(message.GetColumns()) != width || (width == 0 && rows != 0) {
		return nil, integrity("%s: a batch has not the columns of its table", schema.GetName())
	}
	batch := &Batch{
		table: table, columns: make([]Column, len(schema.GetColumns())), rows: rows,
		firstUnit: message.GetFirstUnit(), firstRow: message.GetFirstRowInUnit(), nextUnit: message.GetNextUnit(),
	}
	for i, info := range schema.GetColumns() {
		column := &batch.columns[i]
		column.info, column.rows = info, rows
		if wrong := column.take(message.GetColumns()[i], schema.GetName(), dictionaries); wrong != "" {
			return nil, integrity("%s.%s: %s", schema.GetName(), info.GetName(), wrong)
		}
	}
	return batch, nil
}

// take reads the cells; the text says what is wrong with them.
func (c *Column) take(data *pb.ColumnData, table string, dictionaries *dictionaries) string {
	if wrong := c.takeValidity(data.GetValidity()); wrong != "" {
		return wrong
	}
	cells, clean, storage := -1, true, c.info.GetStorage()
	switch values := data.GetValues().(type) {
	case *pb.ColumnData_Bools:
		if storage == pb.Storage_STORAGE_BOOL {
			c.bools = values.Bools.GetValues()
			cells, clean = len(c.bools), nullsAreZero(c, c.bools)
		}
	case *pb.ColumnData_Int64S:
		switch storage {
		case pb.Storage_STORAGE_INT64, pb.Storage_STORAGE_DECIMAL, pb.Storage_STORAGE_DATETIME, pb.Storage_STORAGE_DURATION:
			c.ints = values.Int64S.GetValues()
			cells, clean = len(c.ints), nullsAreZero(c, c.ints)
		}
	case *pb.ColumnData_Doubles:
		if storage == pb.Storage_STORAGE_DOUBLE {
			c.doubles = values.Doubles.GetValues()
			cells, clean = len(c.doubles), nullsAreZero(c, c.doubles)
		}
	case *pb.ColumnData_Dates:
		if storage == pb.Storage_STORAGE_DATE {
			c.days = values.Dates.GetValues()
			cells, clean = len(c.days), nullsAreZero(c, c.days)
		}
	case *pb.ColumnData_Strings:
		if storage == pb.Storage_STORAGE_STRING {
			c.texts = values.Strings.GetValues()
			cells, clean = len(c.texts), nullsAreZero(c, c.texts)
		}
	case *pb.ColumnData_Indices:
		if storage == pb.Storage_STORAGE_STRING {
			c.codes = nonNil(values.Indices.GetValues())
			cells, clean = len(c.codes), nullsAreZero(c, c.codes)
		}
	case *pb.ColumnData_Lists:
		if storage == pb.Storage_STORAGE_STRING_LIST {
			c.codes, c.offsets = nonNil(values.Lists.GetValues()), values.Lists.GetOffsets()
			if !c.offsetsCut() {
				return "the offsets do not cut the values into lists"
			}
			cells, clean = len(c.offsets)-1, c.nullListsAreEmpty()
		}
	}
	switch {
	case cells < 0:
		return "the cells do not fit the storage of the column"
	case cells != c.rows:
		return "there are more or fewer cells than rows"
	case !clean:
		return "a null cell is not zero or empty"
	}
	return c.takeDictionary(table, dictionaries)
}

func (c *Column) takeValidity(validity []byte) string {
	if len(validity) == 0 {
		return ""
	}
	if len(validity) != (c.rows+7)/8 {
		return "the validity bitmap has the wrong length"
	}
	valid := 0
	for _, eight := range validity[:c.rows/8] {
		valid += bits.OnesCount8(eight)
	}
	if rest := c.rows % 8; rest != 0 {
		valid += bits.OnesCount8(validity[c.rows/8] & (1<<rest - 1))
	}
	if c.nulls = c.rows - valid; c.nulls != 0 {
		c.validity = validity
	}
	return ""
}

func (c *Column) takeDictionary(table string, dictionaries *dictionaries) string {
	if c.codes == nil {
		return ""
	}
	dictionary, complete := dictionaries.whole[dictionaryKey{table, c.Name()}]
	if !complete {
		return "its dictionary has not come, or not wholly"
	}
	c.dictionary = dictionary
	var most uint32
	for _, code := range c.codes {
		most = max(most, code)
	}
	used := len(c.codes)
	if c.offsets == nil {
		used -= c.nulls
	}
	if used > 0 && uint64(most) >= uint64(len(dictionary)) {
		return "an index lies beyond the dictionary"
	}
	return ""
}

// offsetsCut tells whether the offsets cut the values into one list per row.
func (c *Column) offsetsCut() bool {
	if len(c.offsets) != c.rows+1 || c.offsets[0] != 0 || uint64(c.offsets[c.rows]) != uint64(len(c.codes)) {
		return false
	}
	for i := 1; i < len(c.offsets); i++ {
		if c.offsets[i] < c.offsets[i-1] {
			return false
		}
	}
	return true
}

func (c *Column) nullListsAreEmpty() bool {
	for i := 0; c.nulls != 0 && i < c.rows; i++ {
		if c.IsNull(i) && c.offsets[i] != c.offsets[i+1] {
			return false
		}
	}
	return true
}

// nullsAreZero tells whether the null cells are zero, as the contract asks: what
// is not would travel unseen. Cells that are missing are another error.
func nullsAreZero[T comparable](c *Column, values []T) bool {
	var zero T
	for i := 0; c.nulls != 0 && i < min(c.rows, len(values)); i++ {
		if values[i] != zero && c.IsNull(i) {
			return false
		}
	}
	return true
}

// nonNil tells the codes of no rows from no codes.
func nonNil(codes []uint32) []uint32 {
	if codes == nil {
		return []uint32{}
	}
	return codes
}
