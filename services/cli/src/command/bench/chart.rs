//! Draws a curve as SVG.

use std::path::Path;

use anyhow::{Context, anyhow};
use plotters::prelude::*;

/// Points to be drawn, x rising.
#[derive(Debug)]
pub(super) struct Curve {
    pub(super) title: &'static str,
    pub(super) x: &'static str,
    pub(super) y: &'static str,
    pub(super) points: Vec<(f64, f64)>,
}

impl Curve {
    pub(super) fn new(title: &'static str, x: &'static str, y: &'static str) -> Self {
        Self {
            title,
            x,
            y,
            points: Vec::new(),
        }
    }
}

/// Draws `curve` with a logarithmic x and a y that begins at 0, so that what is flat looks flat.
pub(super) fn draw(curve: &Curve, path: &Path) -> anyhow::Result<()> {
    render(curve, path)
        .map_err(|error| anyhow!("{error}"))
        .with_context(|| format!("cannot draw {}", path.display()))
}

fn render(curve: &Curve, path: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let all = |pick: fn(&(f64, f64)) -> f64| curve.points.iter().map(pick);
    let least = all(|point| point.0).fold(f64::INFINITY, f64::min);
    let most = all(|point| point.0).fold(1.0, f64::max);
    let highest = all(|point| point.1).fold(0.0, f64::max);
    if !least.is_finite() {
        return Err("there is nothing to draw".into());
    }
    let area = SVGBackend::new(path, (640, 360)).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .caption(curve.title, ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(60)
        .build_cartesian_2d(
            (least..most.max(least * 1.1)).log_scale(),
            0.0..(highest * 1.25).max(1.0),
        )?;
    chart
        .configure_mesh()
        .x_desc(curve.x)
        .y_desc(curve.y)
        .light_line_style(TRANSPARENT)
        .draw()?;
    chart.draw_series(LineSeries::new(curve.points.iter().copied(), &BLUE))?;
    let dots = curve.points.iter().copied();
    chart.draw_series(dots.map(|point| Circle::new(point, 3, BLUE.filled())))?;
    area.present()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_becomes_an_svg_with_its_points_and_words() {
        let directory = tempfile::tempdir().expect("a folder");
        let path = directory.path().join("curve.svg");
        let mut curve = Curve::new("Cost by clusters", "clusters", "µs");
        assert!(draw(&curve, &path).is_err(), "nothing to draw");
        curve.points = vec![(10.0, 90.0), (100.0, 95.0), (1000.0, 93.0)];
        draw(&curve, &path).expect("drawn");
        let text = std::fs::read_to_string(&path).expect("written");
        assert_eq!(text.matches("<circle").count(), 3);
        for word in ["Cost by clusters", "clusters", "µs", "<polyline"] {
            assert!(text.contains(word), "{word} is missing");
        }
    }
}
