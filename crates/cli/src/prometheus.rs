//! Numbers in the Prometheus text format, with those of earlier runs that stay true.

use stockfoil_core::report::Metric;

/// The numbers of one name.
struct Family {
    name: String,
    help: String,
    /// Each with its labels.
    samples: Vec<(String, String)>,
}

/// The text with `metrics`, and with what an earlier run wrote (`earlier`) of `kept` sources and this one did not measure.
pub(crate) fn text(metrics: &[Metric], kept: &[String], earlier: &str) -> String {
    let mut families: Vec<Family> = Vec::new();
    for Metric { name, help, labels, value } in metrics {
        add(&mut families, name, help, labels_text(labels), value);
    }
    let kept: Vec<String> = kept.iter().map(|source| labels_text(&[("source", source.clone())])).collect();
    let mut help = "";
    for line in earlier.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = rest.split_once(' ').map_or("", |(_, help)| help);
        } else if let Some((series, value)) = line.rsplit_once(' ').filter(|_| !line.starts_with('#'))
            && let Some(labels) = kept.iter().find(|labels| series.ends_with(labels.as_str()))
        {
            add(&mut families, &series[..series.len() - labels.len()], help, labels.clone(), value);
        }
    }
    let mut out = String::new();
    for Family { name, help, samples } in families {
        out.push_str(&format!("# HELP {name} {help}\n# TYPE {name} gauge\n"));
        for (labels, value) in samples {
            out.push_str(&format!("{name}{labels} {value}\n"));
        }
    }
    out
}

/// Adds a number, unless there is one of this name with these labels.
fn add(families: &mut Vec<Family>, name: &str, help: &str, labels: String, value: &str) {
    let at = families.iter().position(|family| family.name == name).unwrap_or_else(|| {
        families.push(Family { name: name.to_owned(), help: help.to_owned(), samples: Vec::new() });
        families.len() - 1
    });
    let samples = &mut families[at].samples;
    if !samples.iter().any(|(known, _)| *known == labels) {
        samples.push((labels, value.to_owned()));
    }
}

fn labels_text(labels: &[(&'static str, String)]) -> String {
    let labels: Vec<String> = labels
        .iter()
        .map(|(label, text)| {
            let text = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            format!("{label}=\"{text}\"")
        })
        .collect();
    if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) }
}
