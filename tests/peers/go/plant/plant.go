// Package plant writes what the programs beside it read: a tag of each value type, with a null and with qualities.
package plant

import (
	"context"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/historian/historian/check"
	v1 "github.com/historian/historian/proto/historian/v1"
)

const (
	second = int64(time.Second)
	// Start is 2026-01-01T00:00:00Z.
	Start = int64(1_767_225_600) * second
	From  = "2026-01-01T00:00:00Z"
	Until = "2026-01-01T01:00:00Z"
	// Big is 2^53 + 1, which no float is.
	Big = int64(9_007_199_254_740_993)

	Uncertain = uint32(0x4094_0000)
	Bad       = uint32(0x8089_0000)
	BadNoData = uint32(0x809B_0000)
)

// Tags are the names in the order of the alphabet.
var Tags = []string{"go/bool", "go/f32", "go/f64", "go/i64", "go/state", "go/string", "go/u64"}

// Times are a second apart, beginning with Start.
func Times(count int) []int64 {
	stamps := make([]int64, count)
	for n := range stamps {
		stamps[n] = Start + int64(n)*second
	}
	return stamps
}

// Doubles is a column of floats.
func Doubles(values ...float64) *v1.Values {
	return &v1.Values{Column: &v1.Values_F64{F64: &v1.DoubleColumn{Values: values}}}
}

// Samples in the order of Tags.
func Samples() []*v1.TagSamples {
	return []*v1.TagSamples{
		{Tag: "go/bool", Timestamps: Times(2), Values: &v1.Values{Column: &v1.Values_Bool{Bool: &v1.BoolColumn{Values: []bool{true, false}}}}},
		{Tag: "go/f32", Timestamps: Times(2), Values: &v1.Values{Column: &v1.Values_F32{F32: &v1.FloatColumn{Values: []float32{0.1, 1e38}}}}},
		{Tag: "go/f64", Timestamps: Times(3), Values: Doubles(0.1, 2, -3), Qualities: []uint32{0, Uncertain, Bad}},
		{Tag: "go/i64", Timestamps: Times(2), Values: &v1.Values{Column: &v1.Values_I64{I64: &v1.SignedColumn{Values: []int64{-Big, Big}}}}},
		{Tag: "go/state", Timestamps: Times(3), Values: &v1.Values{Column: &v1.Values_State{State: &v1.StateColumn{Values: []uint32{0, 1, 2}}}}},
		{Tag: "go/string", Timestamps: Times(2), Values: &v1.Values{Column: &v1.Values_String_{String_: &v1.StringColumn{Values: []string{"größer ✓", ""}}}}, Qualities: []uint32{0, BadNoData}, Nulls: []uint32{1}},
		{Tag: "go/u64", Timestamps: Times(2), Values: &v1.Values{Column: &v1.Values_U64{U64: &v1.UnsignedColumn{Values: []uint64{0, 1<<64 - 1}}}}},
	}
}

// Write makes the tags and writes their samples.
func Write(ctx context.Context, connection *grpc.ClientConn) {
	tags := v1.NewTagServiceClient(connection)
	types := []v1.ValueType{
		v1.ValueType_VALUE_TYPE_BOOL, v1.ValueType_VALUE_TYPE_F32, v1.ValueType_VALUE_TYPE_F64, v1.ValueType_VALUE_TYPE_I64,
		v1.ValueType_VALUE_TYPE_STATE, v1.ValueType_VALUE_TYPE_STRING, v1.ValueType_VALUE_TYPE_U64,
	}
	for n, name := range Tags {
		tag := &v1.Tag{Name: name, ValueType: types[n], RangeHigh: proto.Float64(100)}
		if types[n] == v1.ValueType_VALUE_TYPE_STATE {
			tag.StateSet = []string{"idle", "running", "down"}
		}
		made := check.Got(tags.CreateTag(ctx, &v1.CreateTagRequest{Tag: tag})).Tag
		check.That(made.Id > 0 && made.CreateTime > 0 && made.RangeLow == nil && made.GetRangeHigh() == 100, "%v", made)
	}
	written := check.Got(v1.NewWriteServiceClient(connection).WriteSamples(ctx, &v1.WriteSamplesRequest{Samples: Samples()}))
	check.That(written.Samples == 16 && len(written.Failures) == 0 && written.Watermark > 0, "%v", written)
}
