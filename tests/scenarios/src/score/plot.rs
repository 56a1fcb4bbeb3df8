//! Histograms as SVG: a picture that a page shows and a difference tool can read.

use std::fmt::Write as _;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 240.0;
const MARGIN: f64 = 40.0;

/// The bins' width, in seconds: the steps of a detector at 10 Hz.
const BIN_SEC: f64 = 0.1;

/// The largest latency that has a bin of its own; what is later falls into the last.
const LAST_SEC: f64 = 4.0;

/// One histogram: its title and its values in seconds.
pub(super) struct Series<'a> {
    pub(super) title: &'a str,
    pub(super) colour: &'a str,
    pub(super) values: &'a [f64],
}

/// Histograms one above the other on one time axis.
pub(super) fn histograms(series: &[Series<'_>]) -> String {
    let height = HEIGHT * series.len() as f64;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n"
    );
    for (index, one) in series.iter().enumerate() {
        histogram(&mut svg, one, HEIGHT * index as f64);
    }
    svg.push_str("</svg>\n");
    svg
}

fn histogram(svg: &mut String, series: &Series<'_>, top: f64) {
    let bins = bins(series.values);
    let most = bins.iter().copied().max().unwrap_or(0).max(1) as f64;
    let (left, right, bottom) = (MARGIN, WIDTH - MARGIN, top + HEIGHT - MARGIN);
    let bin_width = (right - left) / bins.len() as f64;
    put(
        svg,
        format_args!(
            "<text x=\"{left}\" y=\"{:.0}\">{} (n = {})</text>",
            top + MARGIN / 2.0,
            series.title,
            series.values.len()
        ),
    );
    for (index, count) in bins.iter().enumerate().filter(|(_, count)| **count > 0) {
        let tall = *count as f64 / most * (HEIGHT - 2.0 * MARGIN);
        put(
            svg,
            format_args!(
                "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{tall:.1}\" fill=\"{}\"><title>{count}</title></rect>",
                left + bin_width * index as f64,
                bottom - tall,
                bin_width - 1.0,
                series.colour,
            ),
        );
    }
    put(
        svg,
        format_args!("<line x1=\"{left}\" y1=\"{bottom}\" x2=\"{right}\" y2=\"{bottom}\" stroke=\"#666\"/>"),
    );
    for second in 0..=4_u8 {
        let x = left + (right - left) * f64::from(second) / LAST_SEC;
        put(
            svg,
            format_args!(
                "<text x=\"{x:.0}\" y=\"{:.0}\" text-anchor=\"middle\">{second} s</text>",
                bottom + MARGIN / 2.0
            ),
        );
    }
}

fn put(svg: &mut String, line: std::fmt::Arguments<'_>) {
    writeln!(svg, "{line}").expect("a string takes what is written to it");
}

fn bins(values: &[f64]) -> Vec<usize> {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to a few bins")]
    let bin = |sec: f64| (sec.clamp(0.0, LAST_SEC - BIN_SEC / 2.0) / BIN_SEC) as usize;
    let mut bins = vec![0; bin(LAST_SEC) + 1];
    for value in values {
        bins[bin(*value)] += 1;
    }
    bins
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_falls_into_one_bin_and_what_is_late_into_the_last() {
        let bins = bins(&[-0.2, 0.05, 0.31, 0.39, 3.99, 60.0]);
        assert_eq!((bins.len(), bins[0], bins[3], bins[39]), (40, 2, 2, 2));
        assert_eq!(bins.iter().sum::<usize>(), 6);
    }
}
