from __future__ import annotations

from pathlib import Path

from mevlip.flare.issues import Issue, IssueCode, write_issues


def test_a_place_is_a_record_or_the_whole_file() -> None:
    assert Issue("error", IssueCode.NO_IMAGE, "a.json", 3, "x").where == "a.json[3]"
    assert Issue("error", IssueCode.INVALID_JSON, "a.json", None, "x").where == "a.json"


def test_issues_are_written_as_csv(tmp_path: Path) -> None:
    issue = Issue("error", IssueCode.REPEATED_ROW, "a.json", 3, 'says "it", again', "set", left_out=True)
    write_issues([issue], tmp_path / "new" / "f.csv")
    assert (tmp_path / "new" / "f.csv").read_text().splitlines() == [
        "severity,code,file,index,message,dataset,image,field,value,left_out",
        'error,repeated row,a.json,3,"says ""it"", again",set,,,,True',
    ]
