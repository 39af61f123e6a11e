//! Parses and validates the parameters of a request with the rules of the API.

use std::collections::BTreeMap;
use std::str::FromStr;

use super::refusal::Refusal;
use super::world::Search;
use crate::domain::cell::Sort;
use crate::domain::geo::{Area, Circle, LatLng, Rect};
use crate::domain::keyword::CATEGORY_GROUP_CODES;

/// A valid request.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Wanted {
    /// The search.
    pub(super) search: Search,
    /// The number of the page, counted from 1.
    pub(super) page: u32,
    /// The number of places per page.
    pub(super) size: u32,
}

type Params = BTreeMap<String, String>;

/// Parses the parameters of a query string.
pub(super) fn params(query: &str) -> Params {
    form_urlencoded::parse(query.as_bytes()).into_owned().collect()
}

/// Validates a request.
///
/// # Errors
/// When the path is unknown, or a parameter is missing or invalid.
pub(super) fn parse(path: &str, params: &Params) -> Result<Wanted, Refusal> {
    let query = match path {
        "/v2/local/search/keyword.json" => Some(required(params, "query")?.to_owned()),
        "/v2/local/search/category.json" => {
            required(params, "category_group_code")?;
            None
        }
        _ => return Err(Refusal::NotFound),
    };
    let center = center(params)?;
    let search = Search { query, groups: groups(params)?, area: area(params, center)?, center, sort: sort(params)? };
    let page = whole(params, "page", 1, 45)?.unwrap_or(1);
    let size = whole(params, "size", 1, 15)?.unwrap_or(15);
    Ok(Wanted { search, page, size })
}

/// The centre; `None` if x and y are missing or out of range. Like the API, this does not report x and y that are swapped (and
/// therefore out of range): the area is ignored.
fn center(params: &Params) -> Result<Option<LatLng>, Refusal> {
    let (Some(x), Some(y)) = (number(params, "x")?, number(params, "y")?) else { return Ok(None) };
    Ok(LatLng::new(y, x).ok())
}

fn area(params: &Params, center: Option<LatLng>) -> Result<Option<Area>, Refusal> {
    let radius = whole(params, "radius", 0, 20_000)?;
    if let Some(text) = text(params, "rect") {
        return Ok(Some(Area::Rect(rect(text)?)));
    }
    Ok(center.zip(radius).map(|(center, radius_m)| Area::Circle(Circle { center, radius_m })))
}

fn rect(text: &str) -> Result<Rect, Refusal> {
    let numbers: Result<Vec<f64>, _> = text.split(',').map(|part| part.trim().parse()).collect();
    match numbers.as_deref() {
        Ok(&[west, south, east, north]) => Ok(Rect { west, south, east, north }),
        _ => Err(Refusal::Invalid("query.rect should be west,south,east,north".to_owned())),
    }
}

fn groups(params: &Params) -> Result<Vec<String>, Refusal> {
    let Some(text) = text(params, "category_group_code") else { return Ok(Vec::new()) };
    let groups: Vec<String> = text.split(',').map(|code| code.trim().to_owned()).collect();
    match groups.iter().find(|code| !CATEGORY_GROUP_CODES.contains(&code.as_str())) {
        Some(code) => Err(Refusal::Invalid(format!("query.category_group_code {code} is unknown"))),
        None => Ok(groups),
    }
}

fn sort(params: &Params) -> Result<Sort, Refusal> {
    match text(params, "sort") {
        None | Some("accuracy") => Ok(Sort::Accuracy),
        Some("distance") => {
            required(params, "x")?;
            required(params, "y")?;
            Ok(Sort::Distance)
        }
        Some(_) => Err(Refusal::Invalid("query.sort should be accuracy or distance".to_owned())),
    }
}

fn text<'a>(params: &'a Params, name: &str) -> Option<&'a str> {
    params.get(name).map(|value| value.trim()).filter(|value| !value.is_empty())
}

fn required<'a>(params: &'a Params, name: &'static str) -> Result<&'a str, Refusal> {
    text(params, name).ok_or(Refusal::Missing(name))
}

fn number<T: FromStr>(params: &Params, name: &str) -> Result<Option<T>, Refusal> {
    let parse = |text: &str| text.parse().map_err(|_| Refusal::Invalid(format!("query.{name} should be a number")));
    text(params, name).map(parse).transpose()
}

fn whole(params: &Params, name: &str, least: u32, most: u32) -> Result<Option<u32>, Refusal> {
    match number::<i64>(params, name)? {
        Some(value) if value > i64::from(most) => {
            Err(Refusal::Invalid(format!("query.{name} should be at most {most}")))
        }
        Some(value) if value < i64::from(least) => {
            Err(Refusal::Invalid(format!("query.{name} should be at least {least}")))
        }
        value => Ok(value.and_then(|value| u32::try_from(value).ok())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYWORD: &str = "/v2/local/search/keyword.json";

    fn parsed(query: &str) -> Result<Wanted, Refusal> {
        parse(KEYWORD, &params(query))
    }

    fn message(query: &str) -> String {
        parsed(query).unwrap_err().message()
    }

    #[test]
    fn parameters_are_decoded() {
        let params = params("query=%EC%B9%B4%ED%8E%98+%26&rect=1%2C2,3,4&odd=100%&flag");

        assert_eq!(params["query"], "카페 &");
        assert_eq!(params["rect"], "1,2,3,4");
        assert_eq!((params["odd"].as_str(), params["flag"].as_str()), ("100%", ""));
    }

    #[test]
    fn invalid_parameters_are_reported_with_the_messages_of_the_api() {
        assert_eq!(message("x=127"), "query parameter required");
        assert_eq!(message("query=a&x=127&y=37&radius=20001"), "query.radius should be at most 20000");
        assert_eq!(message("query=a&page=46"), "query.page should be at most 45");
        assert_eq!(message("query=a&page=0"), "query.page should be at least 1");
        assert_eq!(message("query=a&size=16"), "query.size should be at most 15");
        assert_eq!(message("query=a&sort=distance"), "x parameter required");
        assert!(message("query=a&rect=1,2,3").contains("rect"));
        assert!(message("query=a&x=east&y=37").contains("query.x"));
        assert_eq!(
            parse("/v2/local/search/category.json", &params("x=1")).unwrap_err().message(),
            "category_group_code parameter required"
        );
    }

    #[test]
    fn swapped_coordinates_search_everywhere_without_distances() {
        let search = parsed("query=a&x=37.5&y=127&radius=1000").unwrap().search;

        assert_eq!((search.area, search.center), (None, None));
    }

    #[test]
    fn a_centre_together_with_a_rectangle_is_used_only_for_distances() {
        let search = parsed("query=a&x=127&y=37.5&radius=10&rect=126,37,128,38").unwrap().search;

        let rect = Rect { west: 126.0, south: 37.0, east: 128.0, north: 38.0 };
        assert_eq!(search.area, Some(Area::Rect(rect)));
        assert!(search.center.is_some());
    }

    #[test]
    fn several_groups_are_separated_by_commas() {
        assert_eq!(parsed("query=a&category_group_code=FD6,CE7").unwrap().search.groups, ["FD6", "CE7"]);
        assert!(message("query=a&category_group_code=XX1").contains("XX1"));
    }
}
