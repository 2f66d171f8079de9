// Uses arrow-go's Flight SQL client as it is. Argument: host:port of a historian.
package main

import (
	"context"
	"fmt"
	"math/big"
	"os"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/flight"
	"github.com/apache/arrow-go/v18/arrow/flight/flightsql"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/historian/historian/check"
	"github.com/historian/historian/plant"
)

var (
	client       *flightsql.Client
	milliseconds = &arrow.TimestampType{Unit: arrow.Millisecond, TimeZone: "UTC"}
	nanoseconds  = &arrow.TimestampType{Unit: arrow.Nanosecond, TimeZone: "UTC"}
)

// Columns of an answer: its schema, and per column the values of all endpoints in their order, nulls as nil.
type columns struct {
	schema *arrow.Schema
	values [][]any
}

func read(ctx context.Context, info *flight.FlightInfo, err error) columns {
	check.OK(err)
	answer := columns{}
	for _, endpoint := range info.Endpoint {
		reader := check.Got(client.DoGet(ctx, endpoint.Ticket))
		answer.schema = reader.Schema()
		if answer.values == nil {
			answer.values = make([][]any, answer.schema.NumFields())
		}
		for reader.Next() {
			for n, column := range reader.RecordBatch().Columns() {
				for row := range column.Len() {
					answer.values[n] = append(answer.values[n], value(column, row))
				}
			}
		}
		check.OK(reader.Err())
		reader.Release()
	}
	// What was told before the stream began is what came.
	told := check.Got(flight.DeserializeSchema(info.Schema, memory.DefaultAllocator))
	check.That(told.Equal(answer.schema), "told %v, sent %v", told, answer.schema)
	return answer
}

func value(column arrow.Array, row int) any {
	if column.IsNull(row) {
		return nil
	}
	switch column := column.(type) {
	case *array.String:
		return column.Value(row)
	case *array.Float64:
		return column.Value(row)
	case *array.Float32:
		return column.Value(row)
	case *array.Int64:
		return column.Value(row)
	case *array.Boolean:
		return column.Value(row)
	case *array.Decimal128:
		return column.Value(row)
	case *array.Timestamp:
		return int64(column.Value(row))
	case *array.Int32:
		return int64(column.Value(row))
	case *array.Binary:
		return string(column.Value(row))
	}
	check.Fail("a column of type %v", column.DataType())
	return nil
}

func ask(ctx context.Context, query string) columns {
	info, err := client.Execute(ctx, query)
	return read(ctx, info, err)
}

// A batch with one row for the parameters of a statement, in the types that it declares.
func row(statement *flightsql.PreparedStatement, values ...any) arrow.RecordBatch {
	builder := array.NewRecordBuilder(memory.DefaultAllocator, statement.ParameterSchema())
	defer builder.Release()
	check.Equal(statement.ParameterSchema().NumFields(), len(values), "parameters")
	for n, value := range values {
		switch field := builder.Field(n).(type) {
		case *array.StringBuilder:
			if value == nil {
				field.AppendNull()
			} else {
				field.Append(value.(string))
			}
		case *array.Float64Builder:
			if value == nil {
				field.AppendNull()
			} else {
				field.Append(value.(float64))
			}
		case *array.Int64Builder:
			field.Append(value.(int64))
		case *array.BooleanBuilder:
			field.Append(value.(bool))
		case *array.TimestampBuilder:
			field.Append(check.Got(arrow.TimestampFromTime(value.(time.Time), field.Type().(*arrow.TimestampType).Unit)))
		default:
			check.Fail("parameter %d is declared as %v", n, field.Type())
		}
	}
	return builder.NewRecordBatch()
}

func everyType(ctx context.Context) {
	all := ask(ctx, "SELECT tag, timestamp, value, quality, text FROM samples WHERE tag LIKE 'go/%' ORDER BY tag, timestamp")
	types := make([]arrow.DataType, all.schema.NumFields())
	for n, field := range all.schema.Fields() {
		types[n] = field.Type
	}
	want := []arrow.DataType{arrow.BinaryTypes.String, nanoseconds, arrow.PrimitiveTypes.Float64, arrow.PrimitiveTypes.Int64, arrow.BinaryTypes.String}
	for n := range want {
		check.That(arrow.TypeEqual(types[n], want[n]), "column %d is %v, not %v", n, types[n], want[n])
	}
	check.Equal(all.values[0][6], "go/f64", "tag")
	check.Equal(all.values[1][6], plant.Start+2_000_000_000, "timestamp")
	check.Equal(all.values[2][4:7], []any{0.1, 2.0, -3.0}, "values")
	check.Equal(all.values[3][4:7], []any{int64(0), int64(plant.Uncertain), int64(plant.Bad)}, "qualities")
	check.Equal(all.values[4][9:14], []any{"idle", "running", "down", "größer ✓", nil}, "texts")

	largest := new(big.Int).SetUint64(1<<64 - 1)
	for _, of := range []struct {
		tag  string
		want []any
	}{
		{"go/f64", []any{0.1, 2.0, -3.0}},
		{"go/f32", []any{float32(0.1), float32(1e38)}},
		{"go/i64", []any{-plant.Big, plant.Big}},
		{"go/u64", []any{decimal128.FromU64(0), decimal128.FromBigInt(largest)}},
		{"go/bool", []any{true, false}},
		{"go/string", []any{"größer ✓", nil}},
		{"go/state", []any{int64(0), int64(1), int64(2)}},
	} {
		answer := ask(ctx, fmt.Sprintf("SELECT value, tag FROM range('%s', '%s', '%s') ORDER BY timestamp", of.tag, plant.From, plant.Until))
		check.Equal(answer.values[0], of.want, of.tag)
	}
	grouped := ask(ctx, "SELECT tag, count(*) AS n FROM samples WHERE tag LIKE 'go/%' GROUP BY tag ORDER BY tag")
	for n, tag := range plant.Tags {
		check.Equal(grouped.values[0][n], tag, "tag of a group")
	}
	check.That(len(ask(ctx, "SELECT tag FROM samples WHERE tag = 'go/none'").values[0]) == 0, "an empty answer")
}

func parameters(ctx context.Context) {
	begin := time.Unix(0, plant.Start).UTC()
	for _, of := range []struct {
		query    string
		declared []arrow.DataType
		values   []any
		want     []any
	}{
		{"SELECT value FROM samples WHERE tag = ? ORDER BY timestamp", []arrow.DataType{arrow.BinaryTypes.String}, []any{"go/f64"}, []any{0.1, 2.0, -3.0}},
		{"SELECT value FROM samples WHERE tag = 'go/f64' AND timestamp >= ? AND timestamp < ? ORDER BY timestamp", []arrow.DataType{milliseconds, milliseconds}, []any{begin.Add(time.Second), begin.Add(2 * time.Second)}, []any{2.0}},
		{"SELECT value FROM samples WHERE tag = 'go/f64' AND timestamp BETWEEN ? AND ? ORDER BY timestamp", []arrow.DataType{milliseconds, milliseconds}, []any{begin, begin.Add(time.Second)}, []any{0.1, 2.0}},
		{"SELECT value FROM samples WHERE tag = 'go/f64' AND value > ?", []arrow.DataType{arrow.PrimitiveTypes.Float64}, []any{1.0}, []any{2.0}},
		{"SELECT value FROM samples WHERE tag = 'go/f64' AND quality = ?", []arrow.DataType{arrow.PrimitiveTypes.Int64}, []any{int64(plant.Bad)}, []any{-3.0}},
		{"SELECT value FROM samples WHERE tag = 'go/f64' ORDER BY timestamp LIMIT ?", []arrow.DataType{arrow.PrimitiveTypes.Int64}, []any{int64(1)}, []any{0.1}},
		{"SELECT name FROM tags WHERE stepped = ? AND name = lower(?)", []arrow.DataType{arrow.FixedWidthTypes.Boolean, arrow.BinaryTypes.String}, []any{false, "GO/F64"}, []any{"go/f64"}},
		{"SELECT value FROM samples WHERE tag = 'go/f64' AND timestamp = CAST(? AS TIMESTAMP)", []arrow.DataType{arrow.BinaryTypes.String}, []any{"2026-01-01T00:00:01Z"}, []any{2.0}},
		{"SELECT coalesce(value, ?) FROM samples WHERE tag = 'go/string' ORDER BY timestamp", []arrow.DataType{arrow.PrimitiveTypes.Float64}, []any{7.5}, []any{7.5, 7.5}},
		{"SELECT value FROM samples WHERE tag = 'go/f64' AND value > ?", []arrow.DataType{arrow.PrimitiveTypes.Float64}, []any{nil}, nil},
	} {
		statement := check.Got(client.Prepare(ctx, of.query))
		for n, field := range statement.ParameterSchema().Fields() {
			check.That(arrow.TypeEqual(field.Type, of.declared[n]), "%s: parameter %d is declared %v, not %v", of.query, n, field.Type, of.declared[n])
		}
		statement.SetParameters(row(statement, of.values...))
		info, err := statement.Execute(ctx)
		check.Equal(read(ctx, info, err).values[0], of.want, of.query)
		check.OK(statement.Close(ctx))
	}

	// Names by the thousand.
	names := make([]any, 5_000)
	for n := range names {
		names[n] = fmt.Sprintf("go/none/%d", n)
	}
	names[4_999] = "go/f64"
	statement := check.Got(client.Prepare(ctx, "SELECT count(*) FROM samples WHERE tag IN ("+strings.Repeat("?, ", len(names)-1)+"?)"))
	statement.SetParameters(row(statement, names...))
	info, err := statement.Execute(ctx)
	check.Equal(read(ctx, info, err).values[0], []any{int64(3)}, "5,000 names")
	check.OK(statement.Close(ctx))

	// What was executed is answered with the values of then, however late it is fetched and whatever was bound or closed since.
	statement = check.Got(client.Prepare(ctx, "SELECT tag FROM samples WHERE tag = ? LIMIT 1"))
	var executed []*flight.FlightInfo
	for _, tag := range plant.Tags {
		statement.SetParameters(row(statement, tag))
		executed = append(executed, check.Got(statement.Execute(ctx)))
	}
	check.OK(statement.Close(ctx))
	for n, tag := range plant.Tags {
		check.Equal(read(ctx, executed[n], nil).values[0], []any{tag}, "the answer for the values that were bound")
	}
}

func catalog(ctx context.Context) {
	info, err := client.GetTables(ctx, &flightsql.GetTablesOpts{IncludeSchema: true})
	tables := read(ctx, info, err)
	check.That(fmt.Sprint(tables.values[2]) != "" && strings.Contains(fmt.Sprint(tables.values[2]), "samples"), "%v", tables.values[2])
	for n, name := range tables.values[2] {
		if name == "samples" {
			encoded := tables.values[4][n].(string)
			schema := check.Got(flight.DeserializeSchema([]byte(encoded), memory.DefaultAllocator))
			selected := ask(ctx, "SELECT * FROM samples LIMIT 1").schema
			for at, field := range schema.Fields() {
				check.That(arrow.TypeEqual(field.Type, selected.Field(at).Type), "the catalog says that %s is %v, it is %v", field.Name, field.Type, selected.Field(at).Type)
			}
		}
	}
	info, err = client.GetCatalogs(ctx)
	check.That(len(read(ctx, info, err).values[0]) >= 1, "catalogs")
	info, err = client.GetDBSchemas(ctx, &flightsql.GetDBSchemasOpts{})
	check.That(len(read(ctx, info, err).values[0]) >= 1, "schemas")
	info, err = client.GetTableTypes(ctx)
	check.That(len(read(ctx, info, err).values[0]) >= 1, "table types")
	table := flightsql.TableRef{Table: "samples"}
	info, err = client.GetPrimaryKeys(ctx, table)
	check.Equal(read(ctx, info, err).values[3], []any{"tag", "timestamp"}, "primary keys")
	for _, keys := range []func() (*flight.FlightInfo, error){
		func() (*flight.FlightInfo, error) { return client.GetImportedKeys(ctx, table) },
		func() (*flight.FlightInfo, error) { return client.GetExportedKeys(ctx, table) },
		func() (*flight.FlightInfo, error) { return client.GetCrossReference(ctx, table, table) },
	} {
		info, err = keys()
		check.Equal(len(read(ctx, info, err).values[0]), 0, "foreign keys")
	}
	_, err = client.ExecuteUpdate(ctx, "DELETE FROM samples")
	check.That(err != nil, "a statement that deletes was taken")
}

// A reader that goes ends the work: more such statements in a row than may run at the same time.
func left(ctx context.Context) {
	for n := range 60 {
		reading, leave := context.WithCancel(ctx)
		info := check.Got(client.Execute(reading, "SELECT a.tag, b.value FROM generate_series(1, 1000000) g, samples a, samples b, samples c ORDER BY random()"))
		if n%2 == 0 {
			opened := make(chan struct{})
			go func() {
				if reader, err := client.DoGet(reading, info.Endpoint[0].Ticket); err == nil {
					reader.Release()
				}
				close(opened)
			}()
			time.Sleep(20 * time.Millisecond)
			leave()
			<-opened
		} else {
			check.Got(client.CancelFlightInfo(ctx, &flight.CancelFlightInfoRequest{Info: info}))
			leave()
		}
	}
	begun := time.Now()
	check.Equal(ask(ctx, "SELECT 1 AS one").values[0], []any{int64(1)}, "a statement after those that were left")
	check.That(time.Since(begun) < 5*time.Second, "it took %v", time.Since(begun))
}

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	insecurely := grpc.WithTransportCredentials(insecure.NewCredentials())
	connection := check.Got(grpc.NewClient(os.Args[1], insecurely))
	plant.Write(ctx, connection)
	client = check.Got(flightsql.NewClient(os.Args[1], nil, nil, insecurely))
	defer client.Close()
	everyType(ctx)
	parameters(ctx)
	catalog(ctx)
	left(ctx)
	fmt.Println("ok")
}
