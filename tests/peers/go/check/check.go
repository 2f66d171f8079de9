// Package check is what the programs beside it share: the first thing that is not as it must be ends them with a line that says so.
package check

import (
	"fmt"
	"os"
	"reflect"
	"runtime"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Fail ends the program.
func Fail(format string, arguments ...any) {
	for depth := 1; ; depth++ {
		_, file, line, known := runtime.Caller(depth)
		if !known {
			break
		}
		if !strings.HasSuffix(file, "check/check.go") {
			fmt.Fprintf(os.Stderr, "%s:%d: ", file, line)
			break
		}
	}
	fmt.Fprintf(os.Stderr, format+"\n", arguments...)
	os.Exit(1)
}

// OK ends the program with an error, if there is one.
func OK(err error) {
	if err != nil {
		Fail("%v", err)
	}
}

// Got is a call's answer; its error ends the program.
func Got[T any](value T, err error) T {
	OK(err)
	return value
}

// That ends the program where something does not hold.
func That(holds bool, format string, arguments ...any) {
	if !holds {
		Fail(format, arguments...)
	}
}

// Equal compares deeply.
func Equal(got, want any, what string) {
	if !reflect.DeepEqual(got, want) {
		Fail("%s: got %#v, want %#v", what, got, want)
	}
}

// Refused is for calls that must fail, with a code and with a text in the message.
func Refused(err error, code codes.Code, fragment string) {
	if status.Code(err) != code || !strings.Contains(status.Convert(err).Message(), fragment) {
		Fail("want %v with %q, got %v", code, fragment, err)
	}
}
