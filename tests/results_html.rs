//! The HTML report: well-formed, small, with a table behind every figure, and, where there is a browser,
//! opened in it without a request and without a word on its console.

mod results_fixture;

use std::io::Read;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use genie::event::{Event, Status};
use genie::report::html::{self, side::Side};
use genie::results::Recorder;
use genie::results::diff::{Metric, Options, compare, stored};
use genie::scenario::plan::{Node, NodeKind, Plan, RankPlace};
use results_fixture as made;

/// What issue 5 allows for a run of 64 ranks.
const LARGEST: usize = 3_000_000;

/// Records a run of these events; its folder.
fn recorded(results: &Path, plan: &Plan, id: &str, events: &[Event]) -> PathBuf {
    let id = id.parse().expect("a run id");
    let mut run = genie::results::Run::new(id, plan.clone(), made::environment());
    run.manifest.environment.hostname = "<script>alert(1)</script>".into();
    let mut recorder = Recorder::start(results, run);
    events.iter().for_each(|event| recorder.record(event));
    assert_eq!(recorder.loss(), None);
    recorder.path().to_owned()
}

fn side(label: &str, folder: &Path) -> Side {
    Side::read(label, &[folder.to_owned()]).expect("it was just written")
}

/// 64 ranks on 64 hosts, twenty operations of a hundred iterations: nothing that is drawn is left out.
fn of_64_ranks() -> Plan {
    let mut plan = made::plan();
    let link = plan.network.links[0].clone();
    let (hosts, switch) = (64, 64);
    plan.network.nodes = (0..=hosts)
        .map(|number| Node {
            name: if number == switch {
                "s0".into()
            } else {
                format!("h{number}")
            },
            kind: if number == switch {
                NodeKind::Switch
            } else {
                NodeKind::Host
            },
            addresses: Vec::new(),
        })
        .collect();
    plan.network.links = (0..hosts)
        .map(|host| {
            let mut link = link.clone();
            link.name = format!("h{host}-s0");
            link.ends[0].node = host;
            link.ends[1].node = switch;
            link
        })
        .collect();
    plan.network.routes = vec![Vec::new(); hosts + 1];
    plan.ranks = (0..hosts)
        .map(|host| RankPlace {
            host,
            ..plan.ranks[0].clone()
        })
        .collect();
    plan.communicators[0].ranks = (0..hosts as u32).collect();
    let mut op = plan.ops[1].clone();
    op.iterations = 100;
    op.link_bytes = vec![op.link_bytes[0]; hosts];
    plan.ops = (0..20)
        .map(|power| {
            let mut op = op.clone();
            op.op.bytes = 1024 << power;
            op
        })
        .collect();
    plan
}

fn events_of(plan: &Plan) -> Vec<Event> {
    let mut events = vec![made::started(), made::calibrated(0.9996e9, 563.0)];
    for op in 0..plan.ops.len() {
        let us: Vec<f64> = (0..100)
            .map(|i| 500.0 + f64::from(i * i % 37) + 20.0 * op as f64)
            .collect();
        events.push(Event::OpFinished(made::record(plan, op, &us)));
    }
    events.extend((0..plan.ranks.len() as u32).map(made::rank_finished));
    events.push(made::link_counters(plan));
    events.push(made::finished(Status::Completed, None, 0));
    events
}

/// The page as XML: what HTML leaves open is closed.
fn as_xml(html: &str) -> String {
    let body = html
        .strip_prefix("<!DOCTYPE html>\n")
        .expect("it says what it is");
    let mut xml = String::new();
    for (place, part) in body.split('<').enumerate() {
        let Some((tag, rest)) = part.split_once('>').filter(|_| place > 0) else {
            xml += part;
            continue;
        };
        let void = ["meta ", "input "].iter().any(|name| tag.starts_with(name));
        // Attributes without values.
        let tag = tag
            .strip_suffix(" checked")
            .map_or(tag.to_owned(), |tag| format!("{tag} checked=\"\""));
        xml += &format!("<{tag}{}>{rest}", if void { "/" } else { "" });
    }
    xml
}

/// What holds of every report.
fn check(html: &str) {
    let xml = as_xml(html);
    let document = roxmltree::Document::parse(&xml).unwrap_or_else(|e| panic!("{e}: {}", &html[..2000]));
    let named = |name: &'static str| document.descendants().filter(move |node| node.has_tag_name(name));
    let svg = "http://www.w3.org/2000/svg";
    let drawings = || {
        document
            .descendants()
            .filter(|node| node.has_tag_name((svg, "svg")))
    };
    assert!(drawings().count() > 5, "there are figures");
    for drawing in drawings() {
        let label = drawing.attribute("aria-label").unwrap_or_default();
        let hidden = drawing
            .ancestors()
            .any(|node| node.attribute("aria-hidden") == Some("true"));
        assert!(
            hidden || !label.is_empty(),
            "a drawing says nothing to those who cannot see it"
        );
    }
    let big = named("figure").filter(|figure| figure.attribute("class") != Some("small"));
    let bare: Vec<_> = big
        .filter(|figure| !figure.descendants().any(|node| node.has_tag_name("table")))
        .filter_map(|figure| {
            figure
                .descendants()
                .find(|node| node.has_tag_name("figcaption"))?
                .text()
        })
        .filter(|caption| !caption.contains("against A"))
        .collect();
    assert!(bare.is_empty(), "no table behind {bare:?}");
    for table in named("table") {
        let columns = table
            .descendants()
            .filter(|node| node.attribute("scope") == Some("col"))
            .count();
        for row in table.descendants().filter(|node| node.has_tag_name("tr")) {
            let cells = row.children().filter(roxmltree::Node::is_element).count();
            assert_eq!(cells, columns, "a row has other columns than its table");
        }
    }
    let ids: Vec<&str> = document
        .descendants()
        .filter_map(|node| node.attribute("id"))
        .collect();
    let once: std::collections::BTreeSet<&&str> = ids.iter().collect();
    assert_eq!(once.len(), ids.len(), "ids are unique: {ids:?}");
    for link in named("a").filter_map(|node| node.attribute("href")) {
        assert!(
            ids.contains(&link.trim_start_matches('#')),
            "{link} leads nowhere"
        );
    }
    for outward in [
        "<script",
        "http-equiv=\"refresh\"",
        " src=",
        "url(",
        "@import",
        "<link",
        "NaN",
        "\"inf",
    ] {
        assert!(!html.contains(outward), "{outward}");
    }
    for attribute in ["href=\"", "xmlns=\""] {
        for target in html
            .split(attribute)
            .skip(1)
            .filter_map(|rest| rest.split('"').next())
        {
            assert!(target.starts_with('#') || target == svg, "{target}");
        }
    }
}

#[test]
fn a_run_and_a_comparison_are_well_formed_and_speak_for_themselves() {
    let results = tempfile::tempdir().expect("a folder");
    let plan = made::plan();
    let a = recorded(
        results.path(),
        &plan,
        "20261122-153254-k3v9x",
        &made::completed(&plan),
    );
    let mut slower = made::completed(&plan);
    for event in &mut slower {
        if let Event::OpFinished(record) = event {
            *record = made::record(&plan, record.op, &made::around(1000.0));
        }
    }
    let b = recorded(results.path(), &plan, "20261122-153255-b3v9x", &slower);
    let alone = html::page(&[side("a", &a)], None);
    check(&alone);
    assert!(
        alone.contains("&lt;script&gt;alert(1)"),
        "the host's name is text"
    );
    let position = |text: &str| alone.find(text).unwrap_or_else(|| panic!("there is no {text}"));
    assert!(
        position("id=\"cautions\"") < position("id=\"results\""),
        "cautions come first"
    );
    for id in [
        "facts",
        "distribution",
        "ranks-0",
        "links-0",
        "timeline-0",
        "machine",
    ] {
        position(&format!("<section id=\"{id}\""));
    }
    let series = [("a", &a), ("b", &b)].map(|(label, folder)| {
        stored::series(label, std::slice::from_ref(folder), Metric::Time).expect("it is there")
    });
    let comparison = compare(&series, &Options::default());
    let both = html::page(&[side("a", &a), side("b", &b)], Some(&comparison));
    check(&both);
    assert!(both.contains("<section id=\"comparison\"") && both.contains("change from A to B"));
}

#[test]
fn a_run_that_came_to_nothing_has_a_report_that_says_so() {
    let results = tempfile::tempdir().expect("a folder");
    let plan = made::plan();
    let events = [
        made::started(),
        made::finished(Status::Failed, Some("no fabric"), 5),
    ];
    let folder = recorded(results.path(), &plan, "20261122-153254-k3v9x", &events);
    let page = html::page(&[side("a", &folder)], None);
    assert!(page.contains("no fabric"), "why it failed");
    roxmltree::Document::parse(&as_xml(&page)).expect("well-formed");
}

#[test]
fn a_run_of_64_ranks_stays_below_three_megabytes() {
    let results = tempfile::tempdir().expect("a folder");
    let plan = of_64_ranks();
    let folder = recorded(results.path(), &plan, "20261122-153254-k3v9x", &events_of(&plan));
    let page = html::page(&[side("a", &folder)], None);
    check(&page);
    assert!(page.contains("<section id=\"scaling\""));
    assert!(page.len() < LARGEST, "{} bytes", page.len());
}

/// Opens a file in a headless browser in which every name leads to `port` of this machine; `None`: there is no browser.
fn browse(file: &Path, port: u16, profile: &Path) -> Option<Output> {
    let browser = ["chromium", "chromium-browser", "google-chrome"]
        .into_iter()
        .find(|name| {
            Command::new(name)
                .arg("--version")
                .output()
                .is_ok_and(|output| output.status.success())
        })?;
    let output = Command::new(browser)
        .args([
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--no-first-run",
            "--disable-sync",
        ])
        .args([
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-extensions",
        ])
        .args([
            "--disable-domain-reliability",
            "--disable-client-side-phishing-detection",
            "--no-pings",
        ])
        .args([
            "--enable-logging=stderr",
            "--virtual-time-budget=5000",
            "--dump-dom",
        ])
        .arg(format!("--host-resolver-rules=MAP * 127.0.0.1:{port}"))
        .arg(format!("--user-data-dir={}", profile.display()))
        .arg(format!("file://{}", file.display()))
        .output()
        .expect("it has just said its version");
    Some(output)
}

/// Counts requests, to whatever host they were meant to go, but for those that the browser makes for itself.
fn listen() -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("it is bound").port();
    let count = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&count);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut text = [0; 4096];
            let _ = stream.set_read_timeout(Some(std::time::Duration::from_secs(1)));
            let read = (&stream).read(&mut text).unwrap_or(0);
            // Plain or, in the name that TLS begins with, encrypted.
            if read > 0 && !String::from_utf8_lossy(&text[..read]).contains("google") {
                counter.fetch_add(1, Ordering::SeqCst);
            }
        }
    });
    (port, count)
}

/// What the browser wrote of the page's console.
fn console(output: &Output) -> Vec<String> {
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    log.lines()
        .filter(|line| line.contains(":CONSOLE"))
        .map(Into::into)
        .collect()
}

#[test]
fn a_browser_opens_it_without_a_request_and_without_complaint() {
    let folder = tempfile::tempdir().expect("a folder");
    let plan = made::plan();
    let run = recorded(
        folder.path(),
        &plan,
        "20261122-153254-k3v9x",
        &made::completed(&plan),
    );
    let page = html::page(&[side("a", &run)], None);
    let good = folder.path().join("report.html");
    std::fs::write(&good, &page).expect("room");
    // A page that does what a report must not: the test must see it.
    let bad = folder.path().join("bad.html");
    let image = "<img src=\"http://elsewhere.example/probe.png\"><script>console.error(\"probe\")</script>";
    std::fs::write(&bad, format!("<!DOCTYPE html><title>x</title>{image}")).expect("room");
    let (port, requests) = listen();
    let Some(output) = browse(&bad, port, &folder.path().join("profile")) else {
        eprintln!("skipped: there is no chromium here (Debian: apt-get install chromium)");
        return;
    };
    assert_eq!(requests.load(Ordering::SeqCst), 1, "the probe is seen");
    assert!(
        console(&output).iter().any(|line| line.contains("probe")),
        "its complaint too"
    );
    let (port, requests) = listen();
    let output = browse(&good, port, &folder.path().join("profile")).expect("there was one");
    assert_eq!(console(&output), Vec::<String>::new());
    assert_eq!(requests.load(Ordering::SeqCst), 0, "no request leaves the page");
    let dom = String::from_utf8_lossy(&output.stdout);
    assert_eq!(
        dom.matches("<svg").count(),
        page.matches("<svg").count(),
        "all figures are there"
    );
    assert!(dom.contains("id=\"machine-title\""), "it was read to its end");
}

/// Relative luminance of `#rgb` or `#rrggbb` (WCAG 2.2).
fn luminance(colour: &str) -> f64 {
    let digits = colour.trim_start_matches('#');
    let wide = digits.len() == 6;
    let channel = |place: usize| {
        let text = if wide {
            digits[2 * place..2 * place + 2].to_owned()
        } else {
            digits[place..=place].repeat(2)
        };
        let value = f64::from(u8::from_str_radix(&text, 16).expect("a colour")) / 255.0;
        if value <= 0.040_45 {
            value / 12.92
        } else {
            ((value + 0.055) / 1.055).powf(2.4)
        }
    };
    0.2126 * channel(0) + 0.7152 * channel(1) + 0.0722 * channel(2)
}

/// Text needs a contrast of 4.5 to what it stands on, lines and marks 3 (WCAG 2.2, success criteria 1.4.3 and 1.4.11), in
/// light and in dark.
#[test]
fn everything_can_be_told_from_what_it_stands_on() {
    let css = include_str!("../src/report/html/page.css");
    let colours: std::collections::BTreeMap<&str, [&str; 2]> = css
        .split("--")
        .filter_map(|rest| {
            let (name, rest) = rest.split_once(":light-dark(")?;
            let (light, dark) = rest.split_once(')')?.0.split_once(',')?;
            Some((name, [light, dark]))
        })
        .collect();
    let mut pairs: Vec<(String, String, f64)> = [
        ("fg", "bg"),
        ("soft", "bg"),
        ("link", "bg"),
        ("fg", "panel"),
        ("soft", "panel"),
        ("fg", "warn"),
    ]
    .map(|(text, ground)| (text.to_owned(), ground.to_owned(), 4.5))
    .to_vec();
    pairs.extend((0..8).map(|series| (format!("s{series}"), "bg".to_owned(), 3.0)));
    for shade in 0..9 {
        for scale in ["q", "d"] {
            let strong = css.contains(&format!("text.{scale}{shade},"))
                || css.contains(&format!("text.{scale}{shade}{{"));
            let text = if strong { "on-strong" } else { "on-pale" };
            pairs.push((text.to_owned(), format!("{scale}{shade}"), 4.5));
        }
    }
    for (text, ground, least) in pairs {
        for (ink, paper) in std::iter::zip(colours[text.as_str()], colours[ground.as_str()]) {
            let (a, b) = (luminance(ink) + 0.05, luminance(paper) + 0.05);
            let contrast = a.max(b) / a.min(b);
            assert!(
                contrast >= least,
                "{text} on {ground}: {contrast:.2}, {least} is needed"
            );
        }
    }
}
