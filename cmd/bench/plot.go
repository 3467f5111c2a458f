package main

import (
	"bytes"
	"fmt"
	"math"
	"strings"
	"text/template"
)

// The plot of a suite's latencies is written by hand: two logarithmic axes and
// some lines are less than what a plotting library would bring along, which is
// fonts, a PDF writer and a typesetter.

// Its measures, in pixels.
const (
	plotWidth  = 960
	plotLeft   = 64
	plotRight  = 640 // where the lines end and the names of the contenders begin
	plotTop    = 40
	plotBottom = 400
	nameHeight = 18
)

// maxNines is the right end of the plot: 99.999 %.
const maxNines = 5

type plotLine struct {
	Name, Colour, Dashes, Points string
	NameY                        int
}

type plotMark struct {
	At   float64
	Text string
}

type latencyPlot struct {
	Title                    string
	Width, Height            int
	Left, Right, Top, Bottom int
	X, Y                     []plotMark
	Lines                    []plotLine
}

var plotTemplate = template.Must(template.New("plot").Funcs(template.FuncMap{
	"add": func(a, b int) int { return a + b },
}).Parse(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {{.Width}} {{.Height}}" font-family="sans-serif" font-size="12">
<rect width="100%" height="100%" fill="#fff"/>
<text x="{{.Left}}" y="20" font-size="14">{{html .Title}}: latency by share of requests</text>
{{- range .X}}
<path d="M{{.At}} {{$.Top}}V{{$.Bottom}}" stroke="#ddd"/><text x="{{.At}}" y="{{add $.Bottom 16}}" text-anchor="middle">{{.Text}}</text>
{{- end}}
{{- range .Y}}
<path d="M{{$.Left}} {{.At}}H{{$.Right}}" stroke="#ddd"/><text x="{{add $.Left -6}}" y="{{.At}}" text-anchor="end" dominant-baseline="middle">{{.Text}}</text>
{{- end}}
{{- range .Lines}}
<polyline fill="none" stroke="{{.Colour}}" stroke-width="1.5"{{if .Dashes}} stroke-dasharray="{{.Dashes}}"{{end}} points="{{.Points}}"/>
<path d="M{{add $.Right 12}} {{.NameY}}h24" stroke="{{.Colour}}" stroke-width="1.5"{{if .Dashes}} stroke-dasharray="{{.Dashes}}"{{end}}/><text x="{{add $.Right 42}}" y="{{.NameY}}" dominant-baseline="middle">{{html .Name}}</text>
{{- end}}
</svg>
`))

// Colours that also differ in brightness; where they run out, lines are dashed.
var (
	plotColours = []string{"#0072b2", "#d55e00", "#009e73", "#cc79a7", "#000000", "#e69f00", "#56b4e9"}
	plotDashes  = []string{"", "6 3", "2 3"}
)

// plot draws the latencies as an SVG: time upwards, share of the requests to
// the right, both logarithmic, so that each nine has the same room.
func (f *Figures) plot() ([]byte, error) {
	low, high := math.Inf(1), math.Inf(-1)
	nines := 2.0
	for _, l := range f.Latencies {
		for _, p := range l.Points {
			if p.Seconds > 0 {
				low, high = min(low, math.Log10(p.Seconds)), max(high, math.Log10(p.Seconds))
			}
			nines = max(nines, ninesOf(p.Share))
		}
	}
	low, high = math.Floor(low), math.Ceil(high)
	if !(high > low) { // all the same, or nothing
		high = low + 1
	}
	x := func(share float64) float64 {
		return plotLeft + ninesOf(share)/math.Ceil(nines)*(plotRight-plotLeft)
	}
	y := func(seconds float64) float64 {
		return plotBottom - (math.Log10(seconds)-low)/(high-low)*(plotBottom-plotTop)
	}

	p := latencyPlot{
		Title: f.Title, Width: plotWidth, Left: plotLeft, Right: plotRight, Top: plotTop, Bottom: plotBottom,
		Height: max(plotBottom+30, plotTop+nameHeight*len(f.Latencies)+10),
	}
	for _, m := range []struct {
		share float64
		text  string
	}{{0, "0"}, {0.5, "50 %"}, {0.9, "90 %"}, {0.99, "99 %"}, {0.999, "99.9 %"}, {0.9999, "99.99 %"}, {0.99999, "99.999 %"}} {
		if ninesOf(m.share) <= math.Ceil(nines)+1e-9 {
			p.X = append(p.X, plotMark{hundredth(x(m.share)), m.text})
		}
	}
	for decade := low; decade <= high && !math.IsInf(low, 0); decade++ {
		seconds := math.Pow(10, decade)
		p.Y = append(p.Y, plotMark{hundredth(y(seconds)), decadeName(decade)})
	}
	for i, l := range f.Latencies {
		var points []string
		for _, at := range l.Points {
			if at.Seconds > 0 {
				points = append(points, fmt.Sprintf("%.1f,%.1f", x(at.Share), y(at.Seconds)))
			}
		}
		p.Lines = append(p.Lines, plotLine{
			Name: l.Contender, Points: strings.Join(points, " "), NameY: plotTop + nameHeight*i,
			Colour: plotColours[i%len(plotColours)], Dashes: plotDashes[i/len(plotColours)%len(plotDashes)],
		})
	}
	var out bytes.Buffer
	if err := plotTemplate.Execute(&out, p); err != nil {
		return nil, fmt.Errorf("draw the latencies: %w", err)
	}
	return out.Bytes(), nil
}

// ninesOf is 1 for 0.9, 2 for 0.99, and so on.
func ninesOf(share float64) float64 { return min(-math.Log10(1-share), maxNines) }

func hundredth(v float64) float64 { return math.Round(v*100) / 100 }

func decadeName(decade float64) string {
	v, unit := math.Pow(10, decade), "s"
	switch {
	case decade < -3:
		v, unit = math.Pow(10, decade+6), "µs"
	case decade < 0:
		v, unit = math.Pow(10, decade+3), "ms"
	}
	return fmt.Sprintf("%.0f %s", v, unit)
}
