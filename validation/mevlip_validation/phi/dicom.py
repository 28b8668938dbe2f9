"""DICOM headers: attributes that the basic confidentiality profile removes, and text in all others.

The attributes are those of PS3.15, table E.1-1, that name a person, a place, a device or a number of a record. Not
among them: UIDs, because a replaced one looks like an original one; age, sex, size and weight; and descriptions, whose
text is searched like any other.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import TYPE_CHECKING, Any

from mevlip_validation.phi.identifiers import Kind
from mevlip_validation.phi.names import is_placeholder
from mevlip_validation.phi.passages import Passage, lines
from mevlip_validation.phi.pictures import Damaged

if TYPE_CHECKING:
    import pydicom

_NUMBERS = """
AccessionNumber AdmissionID FillerOrderNumberImagingServiceRequest InsurancePlanIdentification InterpretationID
IssuerOfPatientID MedicalRecordLocator OtherPatientIDs PatientID PerformedProcedureStepID
PlacerOrderNumberImagingServiceRequest RequestedProcedureID ResultsID ScheduledProcedureStepID ServiceEpisodeID StudyID
"""
_PHONES = """
OrderCallbackPhoneNumber OrderCallbackTelecomInformation PatientTelecomInformation PatientTelephoneNumbers
PersonTelecomInformation PersonTelephoneNumbers ReferringPhysicianTelephoneNumbers
"""
_PLACES = """
CountryOfResidence CurrentPatientLocation InstitutionAddress InstitutionName InstitutionalDepartmentName
PatientAddress PatientInstitutionResidence PerformedLocation PersonAddress ReferringPhysicianAddress RegionOfResidence
RequestingService ScheduledProcedureStepLocation ScheduledStudyLocation
"""
_OTHERS = """
AdditionalPatientHistory Allergies BranchOfService CassetteID DetectorID DeviceSerialNumber GantryID MedicalAlerts
MilitaryRank Occupation PatientComments PatientReligiousPreference PatientState PerformedStationAETitle
PerformedStationName PlateID ResponsibleOrganization ScheduledStationAETitle ScheduledStationName SpecialNeeds
StationName VisitComments
"""

ATTRIBUTES: dict[str, Kind] = {
    **dict.fromkeys(_NUMBERS.split(), Kind.RECORD_NUMBER),
    **dict.fromkeys(_PHONES.split(), Kind.PHONE),
    **dict.fromkeys(_PLACES.split(), Kind.LOCATION),
    **dict.fromkeys(_OTHERS.split(), Kind.ATTRIBUTE),
}
"""Keyword of each attribute that is a finding wherever it has a value."""

_DEFLATED, _LONGEST_META = b"1.2.840.10008.1.2.1.99", 4096
_TEXT = frozenset(("AE", "CS", "LO", "LT", "SH", "ST", "UC", "UN", "UR", "UT"))


def dicom_passages(content: bytes) -> Iterator[Passage]:
    """Yields the texts of a DICOM header, those of sequences and private elements included; pixels are not read.

    Args:
        content: The file.

    Raises:
        ModuleNotFoundError: pydicom is not installed.
        Damaged: The header cannot be read, or a document is embedded that is not examined.
    """
    import pydicom

    if _DEFLATED in content[:_LONGEST_META]:  # pydicom unpacks it without a bound
        raise Damaged("is deflated DICOM, which is not examined")
    try:
        with _silent(), pydicom.config.disable_value_validation():
            dataset = pydicom.dcmread(BytesIO(content), stop_before_pixels=True, force=True)
            if not len(dataset):
                raise Damaged("is not a DICOM file")
            yield from list(_dataset_passages(dataset, ""))
    except Damaged:
        raise
    except Exception as error:
        # Its text may quote the file, so only its type is named.
        raise Damaged(f"cannot be read as DICOM ({type(error).__name__})") from error
    if "EncapsulatedDocument" in dataset:
        raise Damaged("holds an embedded document, which is not examined")


@contextmanager
def _silent() -> Iterator[None]:
    """Keeps pydicom from logging and warning, because its messages may quote values."""
    logger = logging.getLogger("pydicom")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        logger.setLevel(level)


def _dataset_passages(dataset: pydicom.Dataset, above: str) -> Iterator[Passage]:
    for element in dataset:
        name = element.keyword or str(element.tag)
        place = f"{above}{element.tag} {element.keyword}".rstrip()
        if element.VR == "SQ":
            for index, item in enumerate(element.value or ()):
                yield from _dataset_passages(item, f"{place}[{index}] > ")
            continue
        for value in map(_text, element.value if element.VM > 1 else [element.value]):
            if value:
                yield from _value_passages(place, name, element.VR, value)


def _value_passages(place: str, keyword: str, vr: str, value: str) -> Iterator[Passage]:
    kind = ATTRIBUTES.get(keyword)
    if keyword == "BurnedInAnnotation" and value.upper() == "YES":
        yield Passage(place, value, kind=Kind.BURNED_IN)
    elif kind or vr == "PN":
        if not is_placeholder(value):
            yield Passage(place, value, kind=kind or Kind.NAME)
    elif vr in ("DA", "DT"):
        if value.strip("0") and not value.startswith("19000101"):
            yield Passage(place, value, kind=Kind.DATE)
    elif vr in _TEXT:
        yield from lines(value, place, keyword)


def _text(value: Any) -> str:
    """An element's value as text; empty where it is not text."""
    if isinstance(value, bytes):
        return value.decode("latin-1").strip("\0 ") if len(value) < 1 << 16 and value.isascii() else ""
    return "" if value is None or isinstance(value, int | float) else str(value).strip("\0 ")
