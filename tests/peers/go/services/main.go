// Calls each method of each service with grpc-go and the code that protoc-gen-go and protoc-gen-go-grpc make of the .proto files as they are.
// Argument: host:port of a historian with a directory for backups and no device.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/apache/arrow-go/v18/arrow/flight"
	"github.com/jhump/protoreflect/grpcreflect"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	reflectionv1alpha "google.golang.org/grpc/reflection/grpc_reflection_v1alpha"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/historian/historian/check"
	"github.com/historian/historian/plant"
	v1 "github.com/historian/historian/proto/historian/v1"
)

// Both versions of reflection, each asked alone, know every service and give descriptors that hang together.
func reflection(ctx context.Context, connection *grpc.ClientConn) {
	clients := map[string]*grpcreflect.Client{
		"v1":      grpcreflect.NewClientV1(ctx, reflectionv1.NewServerReflectionClient(connection)),
		"v1alpha": grpcreflect.NewClientV1Alpha(ctx, reflectionv1alpha.NewServerReflectionClient(connection)),
	}
	for version, client := range clients {
		listed := check.Got(client.ListServices())
		for _, name := range []string{"TagService", "WriteService", "QueryService", "CollectorService", "AdminService"} {
			name = "historian.v1." + name
			check.That(slices.Contains(listed, name), "%s lists %v", version, listed)
			check.That(len(check.Got(client.ResolveService(name)).GetMethods()) > 0, "%s: %s", version, name)
		}
		client.Reset()
	}
}

// All messages of a stream.
func all[T any](stream grpc.ServerStreamingClient[T], err error) []*T {
	check.OK(err)
	var messages []*T
	for {
		message, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return messages
		}
		messages = append(messages, check.Got(message, err))
	}
}

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	connection := check.Got(grpc.NewClient(os.Args[1], grpc.WithTransportCredentials(insecure.NewCredentials())))
	defer connection.Close()
	tags := v1.NewTagServiceClient(connection)
	writes := v1.NewWriteServiceClient(connection)
	queries := v1.NewQueryServiceClient(connection)
	collectors := v1.NewCollectorServiceClient(connection)
	admin := v1.NewAdminServiceClient(connection)

	reflection(ctx, connection)

	// TagService.
	plant.Write(ctx, connection)
	_, err := tags.CreateTag(ctx, &v1.CreateTagRequest{Tag: &v1.Tag{Name: "go/f64", ValueType: v1.ValueType_VALUE_TYPE_F64}})
	check.Refused(err, codes.AlreadyExists, "go/f64")
	_, err = tags.GetTag(ctx, &v1.GetTagRequest{Name: "go/none"})
	check.Refused(err, codes.NotFound, "go/none")
	change := &v1.UpdateTagRequest{
		Tag:        &v1.Tag{Name: "go/f64", Unit: "bar", Description: "not in the mask"},
		UpdateMask: check.Got(fieldmaskpb.New(&v1.Tag{}, "unit")),
	}
	check.Equal(check.Got(tags.UpdateTag(ctx, change)).Tag.Unit, "bar", "unit")
	check.Equal(check.Got(tags.GetTag(ctx, &v1.GetTagRequest{Name: "go/f64"})).Tag.Description, "", "description")
	check.Equal(len(check.Got(tags.ListTags(ctx, &v1.ListTagsRequest{Tags: []string{"go/*"}})).Tags), len(plant.Tags), "tags listed")

	// WriteService, as a stream.
	stream := check.Got(writes.WriteSamplesStream(ctx))
	for n := range 3 {
		run := &v1.TagSamples{Tag: "go/stream", Timestamps: plant.Times(3)[n:][:1], Values: plant.Doubles(float64(n))}
		options := &v1.WriteRequest{CreateTags: true, Mode: v1.WriteRequest_MODE_INSERT, Durability: v1.WriteRequest_DURABILITY_INTERVAL}
		check.OK(stream.Send(&v1.WriteSamplesStreamRequest{Options: options, Samples: []*v1.TagSamples{run}}))
	}
	check.OK(stream.CloseSend())
	for range 3 {
		check.Equal(check.Got(stream.Recv()).Samples, uint64(1), "samples of the stream")
	}
	_, err = stream.Recv()
	check.That(errors.Is(err, io.EOF), "%v", err)

	// QueryService: what was written comes back, column by column.
	patterns := plant.Tags
	read := map[string]*v1.TagSamples{}
	for _, answer := range all(queries.Range(ctx, &v1.RangeRequest{Tags: patterns, Start: plant.From, End: plant.Until})) {
		if answer.Samples != nil {
			read[answer.Samples.Tag] = answer.Samples
		}
	}
	for _, wrote := range plant.Samples() {
		got := read[wrote.Tag]
		check.That(got != nil && proto.Equal(got.Values, wrote.Values), "%s: wrote %v, read %v", wrote.Tag, wrote, got)
		check.Equal(got.Timestamps, wrote.Timestamps, wrote.Tag)
		check.Equal(got.Nulls, wrote.Nulls, wrote.Tag)
	}
	check.Equal(read["go/f64"].Qualities, []uint32{0, plant.Uncertain, plant.Bad}, "qualities")
	current := check.Got(queries.CurrentValues(ctx, &v1.CurrentValuesRequest{Tags: append([]string{"go/none"}, patterns...)}))
	check.Equal([]int{len(current.Samples), len(current.Failures)}, []int{7, 1}, "current values")

	one := []string{"go/f64"}
	reduced := all(queries.Downsample(ctx, &v1.DownsampleRequest{Tags: one, Start: plant.From, End: plant.Until, Method: v1.DownsampleRequest_METHOD_MINMAX}))
	check.That(reduced[0].Start == plant.Start && len(reduced) > 1, "%v", reduced)
	averages := all(queries.Aggregate(ctx, &v1.AggregateRequest{Tags: []string{"go/stream"}, Start: plant.From, End: plant.Until, Functions: []string{"count"}}))
	check.Equal(averages[len(averages)-1].Values, []float64{3}, "count")
	parameters := check.Got(structpb.NewStruct(map[string]any{"high": 1.5}))
	found := all(queries.Anomalies(ctx, &v1.AnomaliesRequest{Tags: []string{"go/stream"}, Start: plant.From, End: plant.Until, Detector: "limits", Parameters: parameters, Output: v1.AnomaliesRequest_OUTPUT_COUNTS}))
	check.Equal(found[len(found)-1].Counts[0].Count, int64(1), "anomalies")
	check.That(len(check.Got(queries.ListDetectors(ctx, &v1.ListDetectorsRequest{})).Detectors) >= 7, "detectors")
	measured := all(queries.Measure(ctx, &v1.MeasureRequest{Tags: []string{"go/state"}, Start: plant.From, End: "2026-01-01T00:00:03Z", Measure: v1.MeasureRequest_MEASURE_TIME_IN_STATE}))
	rows := measured[len(measured)-1].Rows
	check.That(len(rows) == 3 && rows[1].Item == "running" && rows[1].GetValue() == 1, "%v", rows)
	joined := check.Got(queries.AsOf(ctx, &v1.AsOfRequest{Tags: one, Timestamps: []int64{plant.Start + 500_000_000}}))
	check.Equal(joined.Samples[0].Timestamps, []int64{plant.Start}, "as-of join")
	subscribed, unsubscribe := context.WithCancel(ctx)
	deliveries := check.Got(queries.Subscribe(subscribed, &v1.SubscribeRequest{Tags: []string{"go/stream"}, Current: true}))
	check.Equal(check.Got(deliveries.Recv()).Samples[0].Tag, "go/stream", "delivery")
	unsubscribe()

	// Corrections.
	replaced := check.Got(writes.ReplaceRange(ctx, &v1.ReplaceRangeRequest{Start: plant.From, End: plant.Until, Reason: "calibration", Samples: []*v1.TagSamples{
		{Tag: "go/stream", Timestamps: plant.Times(1), Values: plant.Doubles(7)},
	}}))
	check.Equal([]uint64{replaced.Deleted, replaced.Samples}, []uint64{3, 1}, "replaced")
	deleted := check.Got(writes.DeleteRange(ctx, &v1.DeleteRangeRequest{Tags: []string{"go/stream"}, Start: plant.From, End: plant.Until, Reason: "test"}))
	check.Equal(deleted.Deleted, uint64(1), "deleted")
	versions := 0
	for _, answer := range all(queries.Superseded(ctx, &v1.SupersededRequest{Tags: []string{"go/stream"}, Start: plant.From, End: plant.Until})) {
		versions += len(answer.ReplacedBy)
	}
	check.Equal(versions, 4, "superseded versions")

	// TagService: what is left of it.
	retyped := check.Got(tags.RetypeTag(ctx, &v1.RetypeTagRequest{Name: "go/stream", ValueType: v1.ValueType_VALUE_TYPE_STRING}))
	check.Equal(retyped.Kept.Name, "go/stream_f64", "kept")
	check.Got(tags.DeleteTag(ctx, &v1.DeleteTagRequest{Name: "go/stream_f64"}))

	// CollectorService and AdminService.
	check.Equal(len(check.Got(collectors.GetStatus(ctx, &v1.GetStatusRequest{})).Devices), 0, "devices")
	status := check.Got(admin.GetServerStatus(ctx, &v1.GetServerStatusRequest{}))
	check.That(status.Tags == 8 && status.AcceptingWrites && status.Version != "", "%v", status)
	check.That(check.Got(admin.Compact(ctx, &v1.CompactRequest{})).ChunksSealed > 0, "nothing sealed")
	created := all(admin.CreateBackup(ctx, &v1.CreateBackupRequest{}))
	backup := created[len(created)-1].GetCreated().GetBackup()
	check.That(backup.GetNumber() > 0 && backup.GetTags() == 8, "%v", created)
	check.Equal(len(check.Got(admin.ListBackups(ctx, &v1.ListBackupsRequest{})).Backups), 1, "backups")
	verified := all(admin.VerifyBackup(ctx, &v1.VerifyBackupRequest{Number: backup.GetNumber()}))
	check.That(verified[len(verified)-1].GetVerified() != nil && len(verified[len(verified)-1].GetVerified().Damaged) == 0, "%v", verified)
	scrubbed := all(admin.Scrub(ctx, &v1.ScrubRequest{}))
	check.Equal(scrubbed[len(scrubbed)-1].GetReport().GetDamaged(), uint64(0), "damage")
	storage := all(admin.InspectTags(ctx, &v1.InspectTagsRequest{Tags: one}))
	check.Equal(storage[len(storage)-1].GetTag().GetSamples(), uint64(3), "samples stored")
	check.That(len(check.Got(admin.ListAuditEntries(ctx, &v1.ListAuditEntriesRequest{})).Entries) > 0, "audit")
	check.Equal(len(check.Got(admin.ListGaps(ctx, &v1.ListGapsRequest{})).Gaps), 0, "gaps")
	check.Equal(len(check.Got(admin.Reload(ctx, &v1.ReloadRequest{})).NotApplied), 0, "keys that are not applied")

	// A request as Go writes it, in JSON and as Any, is a ticket of Flight, and both are the same.
	request := &v1.RangeRequest{Tags: one, Start: plant.From, End: plant.Until, Boundary: v1.RangeRequest_BOUNDARY_OUTSIDE, Limit: plant.Big}
	flights := flight.NewClientFromConn(connection, nil)
	var schemas [][]byte
	for _, ticket := range [][]byte{
		fmt.Appendf(nil, `{"range": %s}`, check.Got(protojson.Marshal(request))),
		check.Got(proto.Marshal(check.Got(anypb.New(request)))),
	} {
		info := check.Got(flights.GetFlightInfo(ctx, &flight.FlightDescriptor{Type: flight.DescriptorCMD, Cmd: ticket}))
		schemas = append(schemas, info.Schema)
		reader := check.Got(flight.NewRecordReader(check.Got(flights.DoGet(ctx, &flight.Ticket{Ticket: ticket}))))
		rows := int64(0)
		for reader.Next() {
			rows += reader.RecordBatch().NumRows()
		}
		check.OK(reader.Err())
		check.Equal(rows, int64(3), "rows of a ticket")
	}
	check.Equal(schemas[0], schemas[1], "schemas")
	fmt.Println("ok")
}
