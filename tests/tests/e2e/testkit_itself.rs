use testkit::TestDb;

#[tokio::test]
async fn a_test_has_a_database_of_its_own() {
    let (a, b) = (TestDb::inventory().await, TestDb::inventory().await);
    a.execute("INSERT INTO users (email, name) VALUES ('a@example.com', 'A')").await;
    assert_eq!(a.value("SELECT count(*) FROM users").await, "1");
    assert_eq!(b.value("SELECT count(*) FROM users").await, "0");
}
