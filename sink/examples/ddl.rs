#![allow(clippy::print_stdout)]
use helios_sink::schema::{Table, ddl};
fn main() {
    println!("{};", ddl::create_database("helios"));
    for t in Table::ALL {
        println!("{};", ddl::create_table("helios", t, 7));
        if let Some(v) = ddl::create_view("helios", t) { println!("{v};"); }
    }
}
