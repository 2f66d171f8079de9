// Makes frames of answers as the backend of Grafana's Infinity plugin does, with the libraries that it reads JSON with: gjson for rows and
// columns, jsonata-go for a selector of rows that gjson does not find. The plugin itself cannot be had as a Go module; what is between the
// libraries is written here by what its parser "backend" does with a query of the type json and the format table.
//
// Reads lines of {"body": "…", "root_selector": "…", "columns": [{"selector", "text", "type"}]} from standard input and writes for each a line of
// {"fields": [{"name", "type", "values"}]}, with times as nanoseconds in text and what no JSON number can be as text, or {"error": "…"}.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tidwall/gjson"
	"github.com/xiatechs/jsonata-go"
)

type column struct {
	Selector string `json:"selector"`
	Text     string `json:"text"`
	Type     string `json:"type"`
}

type request struct {
	Body         string   `json:"body"`
	RootSelector string   `json:"root_selector"`
	Columns      []column `json:"columns"`
}

type field struct {
	Name   string `json:"name"`
	Type   string `json:"type"`
	Values []any  `json:"values"`
}

// What the selector of rows finds: a path of gjson, else an expression of JSONata.
func rows(body, selector string) (string, error) {
	if selector == "" {
		return body, nil
	}
	if found := gjson.Get(body, selector); found.Exists() {
		return found.String(), nil
	}
	expression, err := jsonata.Compile(selector)
	if err != nil {
		return "", err
	}
	var document any
	if err := json.Unmarshal([]byte(body), &document); err != nil {
		return "", err
	}
	found, err := expression.Eval(document)
	if err != nil {
		return "", fmt.Errorf("evaluating JSONata: %w", err)
	}
	text, err := json.Marshal(found)
	return string(text), err
}

// A cell of a column of a type; nil is null. What does not fit the type is null.
func cell(value any, kind string) (any, error) {
	switch kind {
	case "string":
		switch value := value.(type) {
		case string:
			return value, nil
		case float64, bool:
			return fmt.Sprintf("%v", value), nil
		}
	case "boolean":
		switch value := value.(type) {
		case bool:
			return value, nil
		case string:
			if strings.EqualFold(value, "true") {
				return true, nil
			}
		}
	case "number":
		number, is := value.(float64)
		if text, isText := value.(string); isText {
			parsed, err := strconv.ParseFloat(text, 64)
			number, is = parsed, err == nil
		}
		if is && (math.IsNaN(number) || math.IsInf(number, 0)) {
			return strconv.FormatFloat(number, 'g', -1, 64), nil
		}
		if is {
			return number, nil
		}
	case "timestamp":
		if text, is := value.(string); is && text != "" {
			at, err := time.Parse(time.RFC3339Nano, text)
			if err != nil {
				return nil, err
			}
			return strconv.FormatInt(at.UnixNano(), 10), nil
		}
	default:
		return nil, fmt.Errorf("a column of type %q is not used here", kind)
	}
	return nil, nil
}

func frame(asked request) ([]field, error) {
	// The plugin reads the body and writes it again before it looks for the rows, so that numbers are floats from here on.
	var document any
	if err := json.Unmarshal([]byte(asked.Body), &document); err != nil {
		return nil, err
	}
	body, err := json.Marshal(document)
	if err != nil {
		return nil, err
	}
	found, err := rows(string(body), asked.RootSelector)
	if err != nil {
		return nil, err
	}
	parsed := gjson.Parse(found)
	items := []gjson.Result{parsed}
	if parsed.IsArray() {
		items = parsed.Array()
	} else if !parsed.IsObject() {
		return nil, errors.New("the rows are neither an array nor an object")
	}
	fields := []field{}
	if len(items) == 0 {
		return fields, nil
	}
	for _, column := range asked.Columns {
		if column.Text != column.Selector {
			return nil, fmt.Errorf("%s: another name for a column is lost in some versions of the plugin", column.Selector)
		}
		values := make([]any, len(items))
		for n, item := range items {
			if values[n], err = cell(gjson.Get(item.Raw, column.Selector).Value(), column.Type); err != nil {
				return nil, err
			}
		}
		fields = append(fields, field{Name: column.Text, Type: column.Type, Values: values})
	}
	// Fields are in the order of their names, whatever that of the columns is.
	slices.SortFunc(fields, func(one, other field) int { return strings.Compare(one.Name, other.Name) })
	return fields, nil
}

func main() {
	input, output := bufio.NewReader(os.Stdin), json.NewEncoder(os.Stdout)
	for {
		line, err := input.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return
		}
		var asked request
		if err == nil {
			err = json.Unmarshal(line, &asked)
		}
		var answer any
		if err == nil {
			var fields []field
			fields, err = frame(asked)
			answer = map[string]any{"fields": fields}
		}
		if err != nil {
			answer = map[string]any{"error": err.Error()}
		}
		if err := output.Encode(answer); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
}
