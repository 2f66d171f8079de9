// Uses arrow-go's driver for database/sql as it is, where it needs it with the ways round its limits that docs/clients.md tells.
// Argument: host:port of a historian.
package main

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"strings"
	"time"

	_ "github.com/apache/arrow-go/v18/arrow/flight/flightsql/driver"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/historian/historian/check"
	"github.com/historian/historian/plant"
)

var database *sql.DB

// The values of the first column of an answer.
func column[T any](ctx context.Context, query string, arguments ...any) []T {
	rows := check.Got(database.QueryContext(ctx, query, arguments...))
	defer rows.Close()
	var values []T
	for rows.Next() {
		var value T
		check.OK(rows.Scan(&value))
		values = append(values, value)
	}
	check.OK(rows.Err())
	return values
}

func reads(ctx context.Context) {
	rows := check.Got(database.QueryContext(ctx, "SELECT tag, timestamp, value, quality, text FROM samples WHERE tag LIKE 'go/%' ORDER BY tag, timestamp"))
	defer rows.Close()
	var tags []string
	var seen int
	for rows.Next() {
		var tag string
		var timestamp time.Time
		var value sql.NullFloat64
		var quality uint32
		var text sql.NullString
		check.OK(rows.Scan(&tag, &timestamp, &value, &quality, &text))
		if len(tags) == 0 || tags[len(tags)-1] != tag {
			tags, seen = append(tags, tag), 0
		}
		check.Equal(timestamp.UTC(), time.Unix(0, plant.Times(3)[seen]).UTC(), tag)
		if tag == "go/f64" {
			check.Equal(value.Float64, []float64{0.1, 2, -3}[seen], tag)
			check.Equal(quality, []uint32{0, plant.Uncertain, plant.Bad}[seen], tag)
		}
		if tag == "go/string" {
			check.Equal([]any{value.Valid, text.Valid, text.String}, [][]any{{false, true, "größer ✓"}, {false, false, ""}}[seen], tag)
		}
		seen++
	}
	check.OK(rows.Err())
	check.Equal(tags, plant.Tags, "tags")

	ranged := func(of string, select_ string) string {
		return fmt.Sprintf("SELECT %s FROM range('%s', '%s', '%s') ORDER BY timestamp", select_, of, plant.From, plant.Until)
	}
	check.Equal(column[float64](ctx, ranged("go/f64", "value")), []float64{0.1, 2, -3}, "f64")
	check.Equal(column[float32](ctx, ranged("go/f32", "value")), []float32{0.1, 1e38}, "f32")
	check.Equal(column[int64](ctx, ranged("go/i64", "value")), []int64{-plant.Big, plant.Big}, "i64")
	check.Equal(column[bool](ctx, ranged("go/bool", "value")), []bool{true, false}, "bool")
	check.Equal(column[string](ctx, ranged("go/string", "coalesce(value, '-')")), []string{"größer ✓", "-"}, "string")
	check.Equal(column[uint32](ctx, ranged("go/state", "value")), []uint32{0, 1, 2}, "state")
	// The driver makes a float of what is exact on the wire; as text it stays exact.
	check.Equal(column[uint64](ctx, ranged("go/u64", "CAST(value AS VARCHAR)")), []uint64{0, 1<<64 - 1}, "u64")
	check.Equal(column[string](ctx, "SELECT tag FROM samples WHERE tag LIKE 'go/%' GROUP BY tag ORDER BY tag"), plant.Tags, "groups")
	check.Equal(len(column[string](ctx, "SELECT tag FROM samples WHERE tag = 'go/none'")), 0, "an empty answer")
}

func binds(ctx context.Context) {
	of := "SELECT value FROM samples WHERE tag = ? AND "
	order := " ORDER BY timestamp"
	check.Equal(column[float64](ctx, of+"value > ?"+order, "go/f64", 1.0), []float64{2}, "a float")
	check.Equal(column[float64](ctx, of+"quality = ?"+order, "go/f64", int64(plant.Bad)), []float64{-3}, "an integer")
	check.Equal(column[float64](ctx, of+"quality = ?"+order, "go/f64", int(plant.Uncertain)), []float64{2}, "an int")
	check.Equal(column[float64](ctx, of+"true"+order+" LIMIT ?", "go/f64", 1), []float64{0.1}, "a limit")
	check.Equal(column[string](ctx, "SELECT name FROM tags WHERE stepped = ? AND name LIKE ?", false, "go/f64"), []string{"go/f64"}, "a truth value")
	// The driver has no times in what it binds; as text they are the same.
	moment := time.Unix(0, plant.Start).Add(time.Second).Format(time.RFC3339Nano)
	check.Equal(column[float64](ctx, of+"timestamp >= CAST(? AS TIMESTAMP)"+order, "go/f64", moment), []float64{2, -3}, "a time as text")
	check.Equal(column[float64](ctx, of+"timestamp BETWEEN CAST(? AS TIMESTAMP) AND CAST(? AS TIMESTAMP)"+order, "go/f64", moment, moment), []float64{2}, "times as text")
	// It has no NULL either, and says so. A text can stand for it.
	_, err := database.QueryContext(ctx, "SELECT name FROM tags WHERE unit = ?", nil)
	check.That(err != nil && strings.Contains(err.Error(), "invalid value type <nil>"), "the driver binds NULL now: tell it in docs/clients.md (%v)", err)
	_, err = database.QueryContext(ctx, of+"timestamp > ?", "go/f64", time.Now())
	check.That(err != nil && strings.Contains(err.Error(), "TimestampBuilder"), "the driver binds times now: tell it in docs/clients.md (%v)", err)
	_, err = database.QueryContext(ctx, of+"value > ?", "go/f64", 1)
	check.That(err != nil && strings.Contains(err.Error(), "Float64Builder"), "the driver makes floats of integers now: tell it in docs/clients.md (%v)", err)
	check.Equal(column[string](ctx, "SELECT name FROM tags WHERE name = 'go/f64' AND unit IS NOT DISTINCT FROM nullif(?, 'NULL')", ""), []string{"go/f64"}, "a text for NULL")

	// One statement, many values, from several goroutines.
	statement := check.Got(database.PrepareContext(ctx, "SELECT count(*) FROM samples WHERE tag = ?"))
	defer statement.Close()
	done := make(chan int64)
	want := []int64{2, 2, 3, 2, 3, 2, 2}
	for range 10 {
		for n, tag := range plant.Tags {
			go func() {
				var count int64
				check.OK(statement.QueryRowContext(ctx, tag).Scan(&count))
				check.Equal(count, want[n], tag)
				done <- count
			}()
		}
	}
	for range 10 * len(plant.Tags) {
		<-done
	}
}

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	connection := check.Got(grpc.NewClient(os.Args[1], grpc.WithTransportCredentials(insecure.NewCredentials())))
	plant.Write(ctx, connection)
	for _, login := range []string{"", "operator:secret@"} {
		database = check.Got(sql.Open("flightsql", "flightsql://"+login+os.Args[1]+"?timeout=30s"))
		check.OK(database.PingContext(ctx))
		reads(ctx)
		binds(ctx)
		check.OK(database.Close())
	}
	fmt.Println("ok")
}
