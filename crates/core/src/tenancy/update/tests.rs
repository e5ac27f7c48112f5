use super::*;

fn checked(request: Request) -> Result<Update, TenancyError> {
    request.check(&settings())
}

fn settings() -> Settings {
    Settings {
        default_org_id: "default".into(),
        default_org_name: "Default Organization".into(),
        reserved_subdomains: Vec::new(),
        hold_days: 0,
    }
}

fn request() -> Request {
    Request {
        name: None,
        subdomain: None,
        is_active: None,
        new_key: Some(Others::End),
        overlap: None,
        api_key: None,
        expires: None,
        label: None,
        scopes: None,
        key: None,
        revoke: Vec::new(),
        lists_keys: false,
    }
}

#[test]
fn nothing_on_the_way_shows_a_key() {
    let given = "9f86d081884c7d659a2feaa0c55ad015-given";
    let request = Request { api_key: Some(Secret::new(given)), ..request() };
    let shown = format!("{request:?}");
    let update = checked(request).unwrap();
    let shown = format!("{shown} {update:?} {update:#?}");
    assert!(shown.contains("***") && !shown.contains(given), "{shown}");

    let key = ApiKey::generate().unwrap();
    let row = Stored {
        id: OrgId::new("acme").unwrap(),
        name: "Acme".into(),
        subdomain: None,
        is_active: true,
        created_at: chrono::Utc::now().into(),
        updated_at: chrono::Utc::now().into(),
    };
    let report = OrgUpdated {
        api_key_id: Some(key.id()),
        api_key: Some(key.clone()),
        ..super::report(row, Vec::new())
    };
    let shown = format!("{report:?} {}", record(&report, "operator"));
    assert!(shown.contains(&key.id()) && !shown.contains(key.expose()), "{shown}");
    assert_eq!(json!(report)["api_key"], key.expose(), "the report itself is where it shows");
}

#[test]
fn an_update_holds_every_rule_or_none_of_it() {
    let refused = |request: Request| checked(request).unwrap_err().to_string();
    let nothing = || Request { new_key: None, ..request() };
    assert!(refused(nothing()).contains("say what to change"));
    assert!(checked(Request { lists_keys: true, ..nothing() }).unwrap().only_lists());
    assert!(refused(Request { overlap: Some(Span::DAY), ..nothing() }).contains("--overlap needs"));
    let added = Request { new_key: Some(Others::Stay), overlap: Some(Span::DAY), ..nothing() };
    assert!(refused(added).contains("--overlap needs --rotate-key"));
    let read = || Some("read".to_owned());
    assert!(refused(Request { scopes: read(), ..nothing() }).contains("--scopes needs"));
    let key = Some("0aZ9bY8c".to_owned());
    assert!(refused(Request { key: key.clone(), ..nothing() }).contains("--key says which"));
    assert!(!checked(Request { key, scopes: read(), ..nothing() }).unwrap().only_lists());
    let ends_default = |org, is_active| {
        let update = checked(Request { is_active, name: Some("A".into()), ..nothing() }).unwrap();
        update.ends_default(&OrgId::new(org).unwrap(), &Mapping::default(), &settings())
    };
    assert!(ends_default("default", Some(false)));
    assert!(!ends_default("default", Some(true)) && !ends_default("acme", Some(false)));
}
