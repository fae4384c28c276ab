package report

import (
	"io"
	"strings"

	"stowage/cmd/internal/cli"
	"stowage/pkg/scan"
)

// sarifSchema is the address of the schema that the output follows.
const sarifSchema = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"

// The types below are the part of SARIF that a scan needs, and that GitHub reads. A region has
// no column: those of a scan count bytes, and SARIF has no such unit.
type (
	sarifLog struct {
		Schema  string     `json:"$schema"`
		Version string     `json:"version"`
		Runs    []sarifRun `json:"runs"`
	}
	sarifRun struct {
		Tool        sarifTool         `json:"tool"`
		Invocations []sarifInvocation `json:"invocations"`
		Results     []sarifResult     `json:"results"`
	}
	sarifTool struct {
		Driver sarifDriver `json:"driver"`
	}
	sarifDriver struct {
		Name    string      `json:"name"`
		Version string      `json:"version,omitempty"`
		Rules   []sarifRule `json:"rules"`
	}
	sarifRule struct {
		ID    string    `json:"id"`
		Short sarifText `json:"shortDescription"`
		Full  sarifText `json:"fullDescription"`
		Help  sarifText `json:"help"`
	}
	sarifText struct {
		Text string `json:"text"`
	}
	sarifInvocation struct {
		Successful bool `json:"executionSuccessful"`
	}
	sarifResult struct {
		Rule      string            `json:"ruleId"`
		Index     int               `json:"ruleIndex"`
		Level     string            `json:"level"`
		Message   sarifText         `json:"message"`
		Locations []sarifLocation   `json:"locations"`
		Prints    map[string]string `json:"partialFingerprints"`
	}
	sarifLocation struct {
		Physical sarifPhysical  `json:"physicalLocation"`
		Logical  []sarifLogical `json:"logicalLocations,omitempty"`
	}
	sarifPhysical struct {
		Artifact sarifArtifact `json:"artifactLocation"`
		Region   *sarifRegion  `json:"region,omitempty"`
	}
	sarifArtifact struct {
		URI string `json:"uri"`
	}
	sarifRegion struct {
		Line int `json:"startLine"`
	}
	sarifLogical struct {
		Name string `json:"fullyQualifiedName"`
	}
)

// SARIF writes a scan as SARIF 2.1.0: each code is a rule, each warning a result at its file
// and line.
func SARIF(w io.Writer, s Scan) error {
	run := sarifRun{
		Tool:        sarifTool{sarifDriver{Name: "bundle scan", Version: s.Version}},
		Invocations: []sarifInvocation{{Successful: len(s.Errors) == 0}},
		Results:     []sarifResult{},
	}
	index := map[scan.Code]int{}
	for i, k := range rules() {
		index[k.Code] = i
		run.Tool.Driver.Rules = append(run.Tool.Driver.Rules, sarifRule{
			ID: string(k.Code), Short: sarifText{k.Meaning}, Full: sarifText{k.Meaning}, Help: sarifText{k.Action},
		})
	}
	levels := map[severity]string{note: "note", warning: "warning", failure: "error"}
	for _, f := range findings(s) {
		at := sarifLocation{Physical: sarifPhysical{Artifact: sarifArtifact{uri(f.file)}}}
		if f.line > 0 {
			at.Physical.Region = &sarifRegion{f.line}
		}
		if f.object != "" {
			at.Logical = []sarifLogical{{f.object}}
		}
		run.Results = append(run.Results, sarifResult{
			Rule: string(f.code), Index: index[f.code], Level: levels[f.severity], Message: sarifText{withoutLinks(f.text)},
			Locations: []sarifLocation{at}, Prints: map[string]string{"stowage/v1": f.fingerprint},
		})
	}
	return cli.WriteJSON(w, sarifLog{Schema: sarifSchema, Version: "2.1.0", Runs: []sarifRun{run}})
}

// withoutLinks returns a text in which no reader finds a link "[text](address)" (section
// 3.11.6): what a manifest holds must not become one.
func withoutLinks(text string) string { return strings.ReplaceAll(text, "](", "] (") }
